"""What is held against the truth, on rows that were made up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import judge
from benchmarks.fidelity.landscapes import LANDSCAPES
from benchmarks.fidelity.trainings import append

L2 = LANDSCAPES["L2"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], dict[str, str]]:
    """Return reading -> its figures, where shorter trainings tell the full ones by so much."""
    monkeypatch.setattr(judge, "truth_rows", lambda landscape: tmp_path / "truth.jsonl")

    def made(told: float) -> dict[str, str]:
        rng = np.random.default_rng(0)
        for number, network in enumerate(L2.networks):
            loss = 0.7 - 0.01 * number
            short = told * loss + rng.normal(0, 0.001)
            row = {"network": network, "repeat": 0, "seed": number, "loss": loss}
            append(tmp_path / "truth.jsonl", row | {"epochs": 12, "curve": [loss] * 12})
            curve = [2.0, 1.5, 1.2, short]
            short_row = row | {"epochs": 4, "curve": curve, "proxy_loss": -short}
            append(tmp_path / "truth.jsonl", short_row)
        return {line[0]: line[2] for line in judge._shorter(judge.Truth.of(L2))}

    return made


def test_shorter_trainings_of_the_same_networks_are_judged_by_the_longer(
    lines: Callable[[float], dict[str, str]],
) -> None:
    found = lines(1.0)
    assert found["own training of 4 epochs: training loss"].startswith("+1.00")
    assert found["own training of 4 epochs: validation"].startswith("-1.00")
    assert len(found) == 2


def test_a_landscape_with_too_few_rows_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judge, "truth_rows", lambda landscape: tmp_path / "none.jsonl")
    monkeypatch.setattr(sys, "argv", ["judge", "--landscape", "L2"])
    with pytest.raises(SystemExit) as end:
        judge.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "L2 has 0 networks; 6 are judged: truth run\n"
