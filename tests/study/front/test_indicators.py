from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.study.front.indicators import hypervolume, knee, thin
from nas.study.front.pareto import non_dominated

ROWS = st.integers(0, 14).flatmap(
    lambda n: st.integers(2, 4).flatmap(
        lambda m: arrays(np.float64, (n, m), elements=st.integers(0, 6).map(float))
    )
)


def slow_hypervolume(costs: np.ndarray, reference: np.ndarray) -> float:
    """Cells of a whole-numbered grid that some row dominates."""
    cells = itertools.product(*(range(int(bound)) for bound in reference))
    return float(sum(any((row <= cell).all() for row in costs) for cell in cells))


@given(ROWS)
def test_hypervolume_counts_dominated_cells(costs: np.ndarray) -> None:
    reference = np.full(costs.shape[1], 5.0)
    assert hypervolume(costs, reference) == pytest.approx(slow_hypervolume(costs, reference))


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_hypervolume_and_front_as_in_moocore(columns: int) -> None:
    moocore = pytest.importorskip("moocore", reason="in the dev extra")
    rng = np.random.default_rng(columns)
    for count in (1, 50, 300):
        costs = rng.random((count, columns)).round(2)
        front = costs[non_dominated(costs)]
        theirs = costs[moocore.is_nondominated(costs, keep_weakly=True)]
        assert sorted(map(tuple, front)) == sorted(map(tuple, theirs))
        bound = np.full(columns, 0.9)
        assert hypervolume(costs, bound) == pytest.approx(moocore.hypervolume(costs, ref=bound))


def test_what_is_not_below_the_reference_adds_nothing() -> None:
    reference = np.array([4.0, 4.0])
    costs = np.array([[1.0, 2.0], [4.0, 0.0], [0.0, 9.0], [np.nan, 0.0]])
    assert hypervolume(costs, reference) == 6.0
    assert hypervolume(costs[1:], reference) == 0.0
    assert hypervolume(costs[:0], reference) == 0.0


@given(ROWS, st.integers(0, 3))
def test_every_row_has_a_kept_one_that_is_at_most_epsilon_worse(
    costs: np.ndarray, epsilon: int
) -> None:
    sides = np.full(costs.shape[1], float(epsilon))
    kept = thin(costs, sides)
    front = non_dominated(costs)
    assert not (kept & ~front).any()
    for row in costs:
        assert (costs[kept] <= row + sides).all(axis=1).any()
    if epsilon == 0:
        assert (kept == front).all()


def test_one_of_a_box_is_kept_the_nearest_to_its_best_corner() -> None:
    costs = np.array([[0.1, 5.9], [0.9, 5.1], [0.4, 5.2], [3.0, 1.0]])
    assert thin(costs, np.array([1.0, 1.0])).tolist() == [False, False, True, True]


def test_the_knee_is_furthest_below_the_line_through_the_ends() -> None:
    assert knee(np.array([[0, 10], [1, 2], [4, 1], [10, 0]])) == 1
    assert knee(np.array([[0, 10, 5], [1, 1, 1], [10, 0, 0]])) == 1


@pytest.mark.parametrize(
    "costs",
    [
        np.array([[0, 10], [5, 5], [10, 0]]),
        np.array([[0, 10], [9, 9], [10, 0]]),
        np.array([[0, 1], [1, 0]]),
        np.array([[1, 1], [1, 1], [1, 1]]),
    ],
    ids=["straight", "hollow", "two", "equal"],
)
def test_no_knee(costs: np.ndarray) -> None:
    assert knee(costs) is None
