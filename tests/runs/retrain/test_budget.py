"""What of a search's budget is left for full trainings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from nas.runs.retrain import budget
from nas.runs.retrain.budget import Allowance
from nas.runs.run import Run
from nas.spec.architecture import PLAIN
from nas.spec.runner import load_runner
from nas.study.full_training import FullTraining


def _training(seed: int, seconds: float, reference: str | None = None) -> FullTraining:
    return FullTraining(
        trial=0 if reference else 1,
        digest=reference or "searched",
        reference=reference,
        seed=seed,
        key="",
        recipe={},
        description="",
        resolution=16,
        loss=1.0,
        seconds=seconds,
    )


def _run(trainings: list[FullTraining], *overrides: str) -> Run:
    file = load_runner(overrides=("search.full_trainings=10", "retrain.threads=1", *overrides))
    return cast(Run, SimpleNamespace(file=file, in_process=False, retrained=lambda: trainings))


def test_a_number_that_was_asked_for_is_counted() -> None:
    trainings = [_training(0, 60.0, PLAIN)]
    allowance = Allowance(_run(trainings))
    trainings += [_training(seed, 600.0) for seed in range(3)]
    with allowance.beside():
        assert allowance.left() == 6


def test_of_a_budget_slow_networks_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings: list[FullTraining] = []
    allowance = Allowance(_run(trainings, "search.budget=1h"))
    assert allowance.left() == 10
    trainings += [_training(0, 60.0, PLAIN), _training(0, 180.0)]
    assert allowance.left() == 6
    # Two cores train two networks in the time that all of the machine takes for something else.
    clock = iter([0.0, 60.0])
    monkeypatch.setattr(budget.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(budget, "worker_count", lambda *arguments, **named: 2)
    with allowance.beside():
        pass
    assert allowance.left() == 4


def test_a_search_that_goes_on_counts_what_it_has_had() -> None:
    trainings = [_training(0, 60.0, PLAIN), _training(0, 900.0)]
    assert Allowance(_run(trainings, "search.budget=1h")).left() == 8


def test_trainings_without_the_plain_network_are_counted() -> None:
    trainings: list[Any] = []
    allowance = Allowance(_run(trainings, "search.budget=1h"))
    trainings.append(_training(0, 900.0))
    assert allowance.left() == 9
