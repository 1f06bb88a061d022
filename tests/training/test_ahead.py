from __future__ import annotations

import threading

import pytest
import torch
from support import tiny_network

from nas.spec.task import Task
from nas.training.ahead import Ahead
from nas.training.loop import Training
from nas.training.recipe import Recipe

CPU = torch.device("cpu")


def test_batches_are_those_of_their_steps_and_the_next_is_on_its_way() -> None:
    made: list[int] = []
    threads = set()

    def make(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        made.append(step)
        threads.add(threading.current_thread().name)
        return torch.tensor([step]), torch.tensor([-step])

    ahead = Ahead(make, CPU)
    for step in (0, 1, 2, 7, 8, 3):  # a training that has taken up another state, and one again
        assert [int(tensor) for tensor in ahead(step)] == [step, -step]
    ahead._thread.shutdown()
    assert made == [0, 1, 2, 3, 7, 8, 9, 3, 4]
    assert not any("Main" in name for name in threads)


def test_what_a_batch_raises_reaches_the_training() -> None:
    def make(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        if step == 2:
            raise OSError("the disk has gone")
        return torch.zeros(1), torch.zeros(1)

    ahead = Ahead(make, CPU)
    ahead(0)
    ahead(1)  # the next one fails, and nobody has asked for it yet
    with pytest.raises(OSError, match="the disk has gone"):
        ahead(2)


def test_a_training_ahead_of_itself_comes_to_the_same() -> None:
    weights = []
    for ahead in (False, True):
        torch.manual_seed(0)
        network = tiny_network.Tiny("se")
        training = Training(
            network,
            tiny_network.data(),
            Task(outputs=3),
            Recipe(13, batch_size=16, learning_rate=0.01),
            parameters=network.parameters(),
            seed=1,
            device=CPU,
        )
        if ahead:
            training._batch_of = Ahead(training._batch, CPU)
        training.run(4)
        training.run()
        weights.append(network.head.weight)
    assert torch.equal(*weights)
