"""Promotions worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import pytest

from nas.strategy.halving import Rung, next_promotion, next_to_complete

nan = math.nan


def rung(
    costs: Sequence[tuple[float, ...]], closed: Collection[int] = (), *, room: int = 99
) -> Rung:
    flags = [row in closed for row in range(len(costs))]
    return Rung(np.array(costs, dtype=float).reshape(-1, 2), np.array(flags, dtype=bool), room)


# Three fronts: {0, 1, 2}, {3, 4}, {5}; of the first, 1 lies between the others.
SIX = [(1.0, 5.0), (2.0, 4.0), (5.0, 1.0), (3.0, 5.0), (6.0, 3.0), (7.0, 7.0)]


@pytest.mark.parametrize(
    ("rungs", "reduction", "expected"),
    [
        ([rung([])], 3, None),
        # Nobody goes on before there are as many as one of them is worth.
        ([rung(SIX[:2])], 3, None),
        ([rung(SIX[:3])], 3, (0, 0)),
        # Two of six, the least crowded of the first front: its two ends, the earlier first.
        ([rung(SIX)], 3, (0, 0)),
        ([rung(SIX, {0})], 3, (0, 2)),
        ([rung(SIX, {0, 2})], 3, None),
        ([rung(SIX, {0, 2})], 2, (0, 1)),
        # One that was stopped for good keeps its place: quality decides, not the number left.
        ([rung(SIX, {0, 1, 2})], 2, None),
        # The higher rung first; what is there has left the lower one.
        ([rung(SIX, {0, 2}), rung([SIX[0], SIX[2]])], 2, (1, 0)),
        ([rung(SIX, {0, 2}), rung([SIX[0], SIX[2]], {0})], 2, (0, 1)),
        # Where there is no room, the lower rung has its turn.
        ([rung(SIX), rung(SIX, room=0)], 3, (0, 0)),
        ([rung(SIX, room=0)], 3, None),
        # What is not a number is never promoted, but was trained all the same.
        ([rung([(nan, 0.0), (0.0, nan), (9.0, 9.0)])], 3, (0, 2)),
        ([rung([(nan, nan)] * 6)], 2, None),
        # Equal ones by their number.
        ([rung([(1.0, 1.0)] * 4, {0})], 2, (0, 1)),
        # One dominates all others: the next front has the second place.
        ([rung([(2.0, 9.0), (1.0, 1.0), (2.0, 2.0), (8.0, 8.0)], {1})], 2, (0, 2)),
    ],
)
def test_by_hand(rungs: list[Rung], reduction: int, expected: tuple[int, int] | None) -> None:
    assert next_promotion(rungs, reduction=reduction) == expected


@pytest.mark.parametrize("reduction", [2, 3, 4])
@pytest.mark.parametrize("number", [0, 1, 5, 17, 40])
def test_in_the_end_one_of_so_many_has_gone_on(number: int, reduction: int) -> None:
    costs = np.random.default_rng(number).random((number, 2))
    closed = np.zeros(number, dtype=bool)
    while (
        found := next_promotion([Rung(costs, closed.copy(), number)], reduction=reduction)
    ) is not None:
        assert not closed[found[1]]
        closed[found[1]] = True
    assert closed.sum() == number // reduction


@pytest.mark.parametrize(
    ("closed", "expected"),
    [(set(), 0), ({0}, 2), ({0, 2}, 1), ({0, 1, 2}, None)],
)
def test_the_front_is_completed_from_its_ends(closed: set[int], expected: int | None) -> None:
    flags = np.array([row in closed for row in range(6)])
    assert next_to_complete(np.array(SIX), flags) == expected


def test_nothing_is_completed_where_nothing_is() -> None:
    assert next_to_complete(np.empty((0, 2)), np.empty(0, dtype=bool)) is None
