from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.pareto import non_dominated

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
