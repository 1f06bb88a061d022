from __future__ import annotations

import numpy as np
import pytest

from nas.belief.grid import Floats
from nas.strategy.samplers.pareto.expected_improvement import (
    CertainCost,
    CostMarginal,
    NormalCost,
    expected_improvement,
    partition_non_dominated,
)
from nas.study.front.indicators import hypervolume

REFERENCE = np.array([4.0, 4.0])
FRONT = np.array([[1.0, 3.0], [2.0, 1.0]])


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_what_is_certain_gains_what_the_hypervolume_grows_by(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front, reference = rng.random((6, objectives)), np.full(objectives, 0.9)
    points = rng.random((40, objectives))
    gain = expected_improvement(certain(points), partition_non_dominated(front, reference))
    before = hypervolume(front, reference)
    grown = [
        hypervolume(np.concatenate([front, point[None]]), reference) - before for point in points
    ]
    assert gain == pytest.approx(np.array(grown), abs=1e-9)


def certain(points: Floats) -> list[CostMarginal]:
    return [CertainCost(column) for column in points.T]


def test_what_is_uncertain_gains_the_mean_over_draws() -> None:
    rng = np.random.default_rng(0)
    beliefs = [
        NormalCost(np.array([1.5]), np.array([0.6])),
        NormalCost(np.array([1.5]), np.array([0.4])),
    ]
    gain = expected_improvement(beliefs, partition_non_dominated(FRONT, REFERENCE))
    drawn = rng.normal([[1.5, 1.5]], [[0.6, 0.4]], (200_000, 2))
    gained = expected_improvement(certain(drawn), partition_non_dominated(FRONT, REFERENCE))
    assert gain[0] == pytest.approx(gained.mean(), rel=0.01)


def test_one_known_and_one_uncertain_objective() -> None:
    rng = np.random.default_rng(1)
    beliefs = [NormalCost(np.array([2.2]), np.array([0.6])), CertainCost(np.array([1.5]))]
    gain = expected_improvement(beliefs, partition_non_dominated(FRONT, REFERENCE))
    drawn = np.stack([rng.normal(2.2, 0.6, 400_000), np.full(400_000, 1.5)], 1)
    gained = expected_improvement(certain(drawn), partition_non_dominated(FRONT, REFERENCE))
    assert gain[0] == pytest.approx(gained.mean(), rel=0.01)


def test_an_empty_front_leaves_everything_to_gain() -> None:
    gain = expected_improvement(
        certain(np.array([[1.0, 2.0], [5.0, 1.0]])), partition_non_dominated(FRONT[:0], REFERENCE)
    )
    assert gain == pytest.approx([6, 0])


def test_below_a_floor_nothing_is_gained() -> None:
    floor = np.array([-np.inf, 1.5])
    # Right of the first point and below the second: 2 high, 1.5 to 3 and no further.
    gain = expected_improvement(
        certain(np.array([[1.0, 1.0], [1.0, 1.5], [2.0, 0.5]])),
        partition_non_dominated(FRONT, REFERENCE, floor),
    )
    assert gain == pytest.approx([1.5, 1.5, 0])
    assert not expected_improvement(
        certain(FRONT), partition_non_dominated(FRONT, REFERENCE, REFERENCE)
    ).any()
