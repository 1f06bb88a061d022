"""Which network of those that keep a budget is the best, by any posterior."""

from __future__ import annotations

import numpy as np
import pytest

from nas.base.errors import SpecError
from nas.spec.objective import Objective, objectives_named
from nas.study.front.choice import Ranking, rank_within_budget

OBJECTIVES = objectives_named(["loss", "latency_ms"])
COLUMNS = {
    "loss": np.array([1.0, 0.9, 0.899, 0.5]),
    "latency_ms": np.array([1.0, 2.0, 3.0, 9.0]),
    "seeds": np.array([3, 3, 3, 1]),
}
EVERY = np.ones(4, dtype=bool)


def ranked(noise: float, kept: np.ndarray = EVERY, **more: object) -> Ranking:
    def draw(objective: Objective, rows: np.ndarray) -> np.ndarray:
        usual = np.random.default_rng(0).standard_normal((4000, len(rows)))
        return np.asarray(COLUMNS[objective.name][rows] + noise * usual)

    return rank_within_budget(COLUMNS, kept, OBJECTIVES, {"latency_ms": 5.0}, draw, **more)


def test_the_best_by_expectation_with_its_chance_and_the_cheapest_as_good() -> None:
    found = ranked(1e-6)
    assert found.rows == (2, 1, 0) and found.count == 3
    assert found.probability == 1.0
    assert found.cheapest is not None and found.rows[found.cheapest.row] == 1
    assert (found.cheapest.shown, found.delta) == (True, 0.002)
    assert ranked(1e-6, delta=0.0).cheapest.row == 0  # type: ignore[union-attr]


def test_with_noise_no_cheaper_one_is_shown_to_be_as_good() -> None:
    found = ranked(0.1)
    assert 0.3 < found.probability < 0.6
    assert found.cheapest is not None and not found.cheapest.shown


def test_what_may_not_be_chosen_is_a_rival_all_the_same() -> None:
    """A network with one seed may be the best; the chance that the choice is, knows of it."""
    kept = np.array([True, True, False, False])
    alone = ranked(0.1, kept)
    beside = ranked(0.1, kept, rivals=EVERY)
    assert set(alone.rows) == set(beside.rows) == {0, 1}
    assert beside.probability < alone.probability
    assert (alone.count, beside.count) == (2, 3)


def test_without_a_posterior_nothing_is_said_of_chances() -> None:
    found = rank_within_budget(
        COLUMNS, EVERY, OBJECTIVES, {"latency_ms": 5.0}, lambda objective, rows: None
    )
    assert found.rows == (2, 1, 0)
    assert np.isnan(found.probability) and found.cheapest is None


def test_what_no_network_keeps_is_refused() -> None:
    with pytest.raises(SpecError, match="no evaluated network keeps latency_ms <= 0.1"):
        rank_within_budget(
            COLUMNS, EVERY, OBJECTIVES, {"latency_ms": 0.1}, lambda objective, rows: None
        )
    with pytest.raises(SpecError, match="found budget 'speed'"):
        rank_within_budget(COLUMNS, EVERY, OBJECTIVES, {"speed": 0.1}, lambda objective, rows: None)


@pytest.mark.parametrize("known", [True, False])
def test_what_is_as_good_is_in_the_unit_of_what_is_chosen_by(known: bool) -> None:
    columns = {**COLUMNS, "accuracy": 1 - COLUMNS["loss"]}
    by = objectives_named(["accuracy", "latency_ms"])

    def draw(objective: Objective, rows: np.ndarray) -> np.ndarray | None:
        return np.tile(-columns[objective.name][rows], (100, 1)) if known else None

    found = rank_within_budget(columns, EVERY, by, {"latency_ms": 5.0}, draw)
    assert found.unit == "accuracy"
    assert ranked(0.1).unit == "loss"
