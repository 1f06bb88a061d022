"""The loop on torch's `meta` device, which computes nothing and takes no tensor of another device.

What it does there it does on any device that torch names, Apple's and Intel's among them, as far as
their operators go.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import task_networks, tiny_network

from nas.data import Dataset
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.loop import Recipe, Training

META, SIDE = torch.device("meta"), 32
TASKS: list[tuple[Task, Callable[[], Dataset]]] = [
    (Task(outputs=len(tiny_network.CLASSES)), tiny_network.data),
    (
        Task("segmentation", len(task_networks.CLASSES), "lraspp"),
        lambda: task_networks.scenes(SIDE),
    ),
    # Losses of retrieval and of FCOS ask which numbers are not zero, which nobody knows there.
    (Task("detection", 2, "ssdlite"), lambda: task_networks.things(SIDE)),
]


def test_tensors_of_two_devices_are_an_error_there() -> None:
    with pytest.raises(RuntimeError):
        torch.ones(2, device=META) + torch.ones(2)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize(("task", "data"), TASKS, ids=lambda item: getattr(item, "name", ""))
def test_steps_need_no_device_of_their_own(
    task: Task, data: Callable[[], Dataset], optimiser: str
) -> None:
    images = data()
    network = build(Architecture("mobilenetv2_035", images.resolution), task=task, seed=0)
    training = Training(
        network,
        images,
        task,
        Recipe(4, batch_size=8, learning_rate=0.01, optimiser=optimiser),
        parameters=network.parameters(),
        seed=3,
        device=META,
    )
    training.step = 1  # behind the look at the first loss, which has no value here
    training.run(2)
    assert training.step == 3
    assert {tensor.device for tensor in network.state_dict().values()} == {META}
    assert {weight.grad is not None for weight in network.parameters()} == {True}
