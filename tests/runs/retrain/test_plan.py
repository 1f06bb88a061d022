"""What is planned and refused of full trainings: how long they take, and who shares them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from nas.base.errors import SpecError
from nas.runs.retrain import plan
from nas.runs.retrain.plan import RetrainPlan, _check_shared, _processes
from nas.runs.retrain.retrain import _process_group
from nas.spec.recipe import Retrain


@pytest.mark.parametrize(
    ("images", "epochs", "seconds", "proposed"),
    [
        (1_151, 200.0, 7200.0, 50),
        (1_151, 200.0, 1700.0, None),  # short enough
        (1_151, 40.0, 7200.0, None),  # whoever says how long means it
        (1_151, 200.0, 1e7, 1),
        (50_000, 200.0, 7200.0, None),
    ],
)
def test_fewer_epochs_are_proposed_where_a_long_recipe_meets_few_images(
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    epochs: float,
    seconds: float,
    proposed: int | None,
) -> None:
    data = SimpleNamespace(train=range(images))
    monkeypatch.setattr(plan, "open_data", lambda folder: data)
    job: Any = SimpleNamespace(recipe=SimpleNamespace(epochs=epochs), data=Path())
    planned = RetrainPlan(cast(Any, None), (job,), (), 2, None)
    assert planned.shorter(seconds) == proposed
    assert RetrainPlan(cast(Any, None), (), (), 2, None).shorter(seconds) is None


@pytest.mark.parametrize(
    ("batch", "processes", "told"),
    [(32, 3, "=30 or 33, or another"), (4, 8, "=8, or another"), (33, 2, "=32 or 34, or another")],
)
def test_a_batch_that_cannot_be_shared_is_refused(batch: int, processes: int, told: str) -> None:
    with pytest.raises(SpecError, match=f"a batch of {batch} images .*batch_size{told}"):
        _check_shared(batch, processes)
    _check_shared(batch * processes, processes)


def test_how_many_processes_share_a_training_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Here:
        in_process = False

    run: Any = Here()
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert _processes(Retrain(), run) == 1
    assert _processes(Retrain(processes=2), run) == 2
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert _processes(Retrain(), run) == 4
    with pytest.raises(SpecError, match="processes 2, and torchrun has started 4; leave one"):
        _processes(Retrain(processes=2), run)
    monkeypatch.delenv("WORLD_SIZE")
    run.in_process = True
    with pytest.raises(SpecError, match="given in memory is trained in this process alone; use 1"):
        _processes(Retrain(processes=2), run)


def test_torchrun_may_start_no_more_processes_than_there_are_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    said = "torchrun has started 4 processes on this machine, which has 2 GPUs; .*node 2"
    with pytest.raises(SpecError, match=said), _process_group():
        pytest.fail("joined")
