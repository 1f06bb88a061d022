"""Trained networks by groups of validation images: kept as they come, gone with their weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.samples import make_record

from nas.base.errors import SpecError, StorageError
from nas.runs.calibrate import judged
from nas.runs.calibrate.judged import judge_by_groups
from nas.spec.proxy import Proxy
from nas.spec.task import Task
from nas.study.trials import Trials
from nas.training.tasks import Score

LOSSES = torch.arange(40.0)
DATA: Any = SimpleNamespace(validation=range(40), classes=("a", "b"))


def trials() -> Trials:
    return Trials.of(
        [
            make_record(number, name=name, seed=repeat, repeat=repeat)
            for number, (name, repeat) in enumerate([("a", 0), ("b", 0), ("a", 1)])
        ]
    )


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose network of trial n has losses 100 n + 0 ... 39, and tells even images right."""
    asked: list[int] = []

    def network(trial: int, which: str) -> int:
        asked.append(trial)
        return trial

    def evaluate(network: int, *_: Any, **__: Any) -> Score:
        return Score(LOSSES + 100 * network, (LOSSES % 2 == 0).numpy(), {"accuracy": 0.5})

    monkeypatch.setattr(judged, "evaluate", evaluate)
    run = SimpleNamespace(file=SimpleNamespace(proxy=Proxy()))
    return SimpleNamespace(
        trials=trials(), asked=asked, task=Task(outputs=2), run=run, network=network
    )


def test_each_training_is_judged_once_by_every_group(state: Any, tmp_path: Path) -> None:
    records = state.trials
    digests = [records.record(0).digest, records.record(1).digest]
    found = judge_by_groups(state, DATA, digests, 2, tmp_path / "kept.json")
    assert found is not None and found.shape == (2, 2, 20, 2)
    # By hand: the mean of 0 to 39 is 19.5, and half of the images are even.
    assert found[0, 0].mean(axis=0) == pytest.approx([19.5, 0.5])
    assert found[0, 1].mean(axis=0) == pytest.approx([219.5, 0.5])
    assert np.isnan(found[1, 1]).all()  # never trained
    assert state.asked == [0, 2, 1]
    again = judge_by_groups(state, DATA, digests, 2, tmp_path / "kept.json")
    assert np.array_equal(again, found, equal_nan=True) and len(state.asked) == 3


def test_without_weights_nothing_is_said(state: Any, tmp_path: Path) -> None:
    def gone(*_: Any) -> None:
        raise StorageError("gone")

    state.network = gone
    digest = state.trials.record(0).digest
    assert judge_by_groups(state, DATA, [digest], 1, tmp_path / "kept.json") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"DIGEST/0": [[1.0], [0.5]]}', '{"DIGEST/0": "a"}'])
def test_a_broken_file_is_one_line(state: Any, tmp_path: Path, text: str) -> None:
    digest = state.trials.record(0).digest
    (tmp_path / "kept.json").write_text(text.replace("DIGEST", digest))
    with pytest.raises(SpecError, match="remove it to judge again"):
        judge_by_groups(state, DATA, [digest], 1, tmp_path / "kept.json")
