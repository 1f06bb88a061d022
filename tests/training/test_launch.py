from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from support import tiny_network
from torch import Tensor, nn

from nas.base.errors import SpecError
from nas.spec.proxy import Proxy
from nas.spec.task import Task
from nas.training.launch import check_launch, launched
from nas.training.loop import Training
from nas.training.objective import Objective
from nas.training.recipe import Recipe

CPU, GPU, TASK = torch.device("cpu"), torch.device("cuda"), Task(outputs=3)


def trained(launch: str) -> Training:
    torch.manual_seed(0)
    network = tiny_network.Tiny("se")
    training = Training(
        network,
        tiny_network.data(),
        TASK,
        Recipe(5, batch_size=16, learning_rate=0.01),
        parameters=network.parameters(),
        seed=1,
        device=CPU,
        launch=launch,  # type: ignore[arg-type]
    )
    training.run()
    return training


class Counted:
    """Stands in for what torch makes of an objective, and counts its batches."""

    def __init__(self, objective: nn.Module, *_: object, **__: object) -> None:
        self.objective = objective
        self.batches: list[int] = []

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        self.batches.append(len(images))
        loss: Tensor = self.objective(images, targets)
        return loss


def test_what_torch_compiles_is_made_once_and_computes_every_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Counted] = []

    def compile_(objective: nn.Module, **options: object) -> Counted:
        made.append(Counted(objective))
        return made[-1]

    monkeypatch.setattr(torch, "compile", compile_)
    compiled, eager = trained("compile"), trained("eager")
    assert [one.batches for one in made] == [[16] * 5]
    for name, weight in eager.network.state_dict().items():
        assert torch.equal(compiled.network.state_dict()[name], weight), name


def test_what_a_graph_is_captured_with_changes_no_weight_and_no_norm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def capture(objective: nn.Module, sample: tuple[Tensor, Tensor], **_: object) -> Counted:
        for _ in range(3):  # as torch warms up
            objective(*sample)
        return Counted(objective)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    graphed, eager = trained("graphs"), trained("eager")
    for name, weight in eager.network.state_dict().items():
        assert torch.equal(graphed.network.state_dict()[name], weight), name


def test_halves_are_launched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is of one shape."""
    monkeypatch.setattr(torch, "compile", Counted)
    training = trained("compile")
    images, targets = torch.zeros(8, 3, 16, 16), torch.zeros(8, dtype=torch.long)
    assert isinstance(training._objective_for(images, targets), Counted)
    training.parts = 2
    assert isinstance(training._objective_for(images, targets), Objective)


def test_what_a_device_or_a_supernet_cannot_is_said() -> None:
    for launch in ("eager", "compile"):
        check_launch(launch, CPU)  # type: ignore[arg-type]
    check_launch("graphs", GPU)
    with pytest.raises(SpecError, match="graphs is of CUDA, and trainings run on cpu here; use ea"):
        check_launch("graphs", CPU)
    with pytest.raises(ValidationError, match="a supernet takes other paths at each step"):
        Proxy(kind="supernet", launch="graphs")
    objective = nn.Identity()
    assert launched(objective, "eager", torch.zeros(1), torch.zeros(1)) is objective
