from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.study.front.pareto import best_first, crowding, far_apart, fronts, non_dominated

Rows = list[tuple[float, ...]]
nan, inf = math.nan, math.inf

# Few different values, so that ties and duplicates are common.
value = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, inf, -inf, nan]) | st.floats()


def costs(columns: int) -> st.SearchStrategy[Rows]:
    return st.lists(st.tuples(*[value] * columns), max_size=25)


def slow(rows: Rows) -> list[bool]:
    """The definition, read aloud: no other row is nowhere larger and somewhere smaller."""

    def dominates(other: tuple[float, ...], row: tuple[float, ...]) -> bool:
        pairs = list(zip(other, row, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    clean = [row for row in rows if not any(map(math.isnan, row))]
    return [
        not any(map(math.isnan, row)) and not any(dominates(other, row) for other in clean)
        for row in rows
    ]


def fast(rows: Rows, columns: int) -> list[bool]:
    return non_dominated(np.array(rows, dtype=float).reshape(-1, columns)).tolist()


@given(costs(2))
@settings(deadline=None)
def test_two_columns_agree_with_the_definition(rows: Rows) -> None:
    assert fast(rows, 2) == slow(rows)


@given(costs(3))
@settings(deadline=None)
def test_three_columns_agree_with_the_definition(rows: Rows) -> None:
    assert fast(rows, 3) == slow(rows)


@given(costs(4))
@settings(deadline=None)
def test_four_columns_agree_with_the_definition(rows: Rows) -> None:
    assert fast(rows, 4) == slow(rows)


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_of_very_many_rows_the_same_are_kept_as_of_parts_of_them(columns: int) -> None:
    rng = np.random.default_rng(columns)
    rows = rng.integers(0, 60, (50_000, columns)).astype(float)
    rows[::97] = nan
    parts = [np.arange(start, 50_000, 5) for start in range(5)]
    hopeful = np.concatenate([part[non_dominated(rows[part])] for part in parts])
    expected = hopeful[non_dominated(rows[hopeful])]
    assert sorted(np.flatnonzero(non_dominated(rows))) == sorted(expected)


@given(costs(1))
@settings(deadline=None)
def test_one_column_keeps_its_minimum(rows: Rows) -> None:
    assert fast(rows, 1) == slow(rows)


@given(costs(3), st.randoms())
@settings(deadline=None)
def test_order_of_rows_does_not_matter(rows: Rows, random: object) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    kept = fast(rows, 3)
    assert fast([rows[i] for i in order], 3) == [kept[i] for i in order]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(1, 3), (2, 2), (3, 1)], [True, True, True]),
        ([(1, 3), (2, 3), (2, 4)], [True, False, False]),
        ([(1, 1), (1, 1), (0, 2)], [True, True, True]),
        ([(1, 1), (1, 1), (0, 1)], [False, False, True]),
        ([(nan, 0), (1, 1), (0, nan)], [False, True, False]),
        ([(nan, nan)], [False]),
        ([(inf, 0), (1, 1)], [True, True]),
        ([(inf, 2), (1, 1)], [False, True]),
        ([(-0.0, 1), (0.0, 1)], [True, True]),
        ([(1, 1, 1), (1, 1, 2), (2, 0, 9)], [True, False, True]),
    ],
)
def test_by_hand(rows: Rows, kept: list[bool]) -> None:
    assert fast(rows, len(rows[0])) == kept


def test_no_rows_make_no_front() -> None:
    assert non_dominated(np.empty((0, 2))).shape == (0,)


def test_input_is_left_alone() -> None:
    rows = np.array([[2.0, 1.0], [1.0, nan]])
    before = rows.copy()
    non_dominated(rows)
    np.testing.assert_array_equal(rows, before)


@given(costs(2))
@settings(deadline=None)
def test_fronts_hold_every_row_once_and_peel_like_the_definition(rows: Rows) -> None:
    array = np.array(rows, dtype=float).reshape(-1, 2)
    left = list(range(len(rows)))
    for front in fronts(array):
        assert front.tolist() == [
            left[i] for i, kept in enumerate(slow([rows[j] for j in left])) if kept
        ]
        left = [row for row in left if row not in set(front.tolist())]
    assert all(any(map(math.isnan, rows[row])) for row in left)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([(1, 1)], [inf]),
        ([(1, 3), (3, 1)], [inf, inf]),
        # Neighbours 4 of 4 apart in one column and 6 of 6 in the other; then a crowded one.
        ([(1, 7), (2, 4), (5, 1)], [inf, 2.0, inf]),
        ([(0, 10), (1, 9), (2, 8), (10, 0)], [inf, 0.4, 1.8, inf]),
        # Of equal rows one stands for all.
        ([(1, 1), (1, 1), (1, 1)], [inf, 0.0, 0.0]),
        ([(0, 2), (0, 2), (1, 1), (2, 0), (2, 0)], [inf, 0.5, 2.0, inf, 0.5]),
        ([(-inf, 3), (1, 2), (2, 1)], [inf, 1.0, inf]),
    ],
)
def test_crowding_by_hand(rows: Rows, expected: list[float]) -> None:
    array = np.array(rows, dtype=float).reshape(-1, 2)
    np.testing.assert_allclose(crowding(array), expected)


@pytest.mark.parametrize(
    ("rows", "count", "expected"),
    [
        ([], 3, []),
        ([(0, 10), (1, 9), (2, 8), (10, 0), (11, 11)], 3, [0, 3, 2]),
        ([(0, 10), (1, 9), (2, 8), (10, 0), (11, 11)], 9, [0, 3, 2, 1, 4]),
        ([(nan, 0), (5, 5), (1, 1)], 9, [2, 1]),
        ([(1, 1), (0, 0)], 0, []),
    ],
)
def test_best_first_by_hand(rows: Rows, count: int, expected: list[int]) -> None:
    assert best_first(np.array(rows, dtype=float).reshape(-1, 2), count).tolist() == expected


def test_far_apart_worked_by_hand() -> None:
    costs = np.array([[0.0, 10.0], [1.0, 9.0], [5.0, 5.0], [9.0, 1.0], [10.0, 0.0]])
    nothing = np.zeros(5, dtype=bool)
    assert far_apart(costs, nothing, 3).tolist() == [0, 4, 2]
    assert far_apart(costs, np.array([True, False, False, False, False]), 2).tolist() == [4, 2]
    assert sorted(far_apart(costs, nothing, 9).tolist()) == [0, 1, 2, 3, 4]
    assert far_apart(costs, ~nothing, 3).tolist() == []
    assert far_apart(np.zeros((0, 2)), np.zeros(0, dtype=bool), 3).tolist() == []
    assert sorted(far_apart(np.ones((3, 2)), np.zeros(3, dtype=bool), 3).tolist()) == [0, 1, 2]
