"""Pareto dominance on arrays. Pure functions; every column is minimised."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["beaten_as_known", "best_first", "crowding", "far_apart", "fronts", "non_dominated"]

_MANY, _SAMPLE = 20_000, 1000


def non_dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the rows that no other row dominates.

    A row dominates another when it is nowhere larger and somewhere smaller. Equal rows are kept
    together or not at all.

    costs: (n, m), minimised; rows with NaN are never kept.
    Returns (n,) flags.
    """
    costs = np.asarray(costs, dtype=np.float64)
    assert costs.ndim == 2, costs.shape
    keep = np.zeros(len(costs), dtype=bool)
    usable = np.flatnonzero(~np.isnan(costs).any(axis=1))
    if usable.size == 0:
        return keep
    if usable.size > _MANY:
        usable = _hopeful(costs, usable)
    distinct, inverse = _distinct(costs[usable])
    front = {1: _front_of_one, 2: _front_of_two, 3: _front_of_three}.get(
        costs.shape[1], _front_of_many
    )
    keep[usable] = front(distinct)[inverse]
    return keep


def _hopeful(costs: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows that the front of a sample does not dominate.

    Some thousands of a million are then left to be sorted.
    """
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    for best in sample[non_dominated(costs[sample])]:
        left = costs[rows]
        worse = np.ones(len(rows), dtype=bool)
        differs = np.zeros(len(rows), dtype=bool)
        for column, bound in zip(left.T, costs[best], strict=True):
            worse &= column >= bound
            differs |= column != bound
        rows = rows[~(worse & differs)]
    return rows


def _distinct(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distinct rows, sorted lexicographically, and which of them each row is.

    A tenth of the time of np.unique(axis=0), which compares rows byte by byte.
    """
    order = np.lexsort(rows.T[::-1])
    sorted_ = rows[order]
    new = np.concatenate([[True], (sorted_[1:] != sorted_[:-1]).any(axis=1)])
    inverse = np.empty(len(rows), dtype=np.int64)
    inverse[order] = np.cumsum(new) - 1
    return sorted_[new], inverse


def _front_of_one(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.arange(len(rows)) == 0)


def _front_of_two(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the front of distinct rows, sorted lexicographically.

    A row survives when it lowers the second column.
    """
    lowest_before = np.minimum.accumulate(rows[:, 1])[:-1]
    return np.concatenate([[True], rows[1:, 1] < lowest_before])


def _front_of_three(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the front of distinct, lexicographically sorted rows: only earlier ones dominate.

    Those that dominate by their other two columns lie on a staircase, which rises in one and falls
    in the other.
    """
    kept = np.zeros(len(rows), dtype=bool)
    rising: list[float] = []
    falling: list[float] = []
    for number, (_, y, z) in enumerate(rows.tolist()):
        step = bisect_right(rising, y)
        if step and falling[step - 1] <= z:
            continue
        kept[number] = True
        first = last = bisect_left(rising, y)
        while last < len(rising) and falling[last] >= z:
            last += 1
        rising[first:last] = [y]
        falling[first:last] = [z]
    return kept


def _front_of_many(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the front of distinct rows: the least sum is kept, and what it dominates goes."""
    kept = np.zeros(len(rows), dtype=bool)
    left = np.argsort(_scaled(rows).sum(axis=1), kind="stable")
    while left.size:
        best = left[0]
        kept[best] = True
        left = left[(rows[left] < rows[best]).any(axis=1)]
    return kept


def _scaled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks: sums of infinite or very unlike columns would not say which row is good."""
    return np.stack([np.unique(column, return_inverse=True)[1] for column in rows.T], axis=1)


def fronts(costs: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Peel off one front after another.

    costs: (n, m), minimised; rows with NaN are in no front.
    Yields the row numbers of the non-dominated ones, then those of what is non-dominated without
    them, and so on.
    """
    costs = np.asarray(costs, dtype=np.float64)
    left = np.flatnonzero(~np.isnan(costs).any(axis=1))
    while left.size:
        kept = non_dominated(costs[left])
        yield left[kept]
        left = left[~kept]


def crowding(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far apart from the others each row of one front is.

    costs: (n, m), without NaN.
    Returns (n,) sums over columns of the distance between a row's two neighbours, as a share of the
    column's range; infinite for the least and the greatest of a column, where the first stands for
    equal ones.
    Source: NSGA-II, Deb et al. 2002.
    """
    costs = np.asarray(costs, dtype=np.float64)
    assert costs.ndim == 2 and not np.isnan(costs).any(), costs
    distances = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        sorted_ = column[order]
        width = sorted_[-1] - sorted_[0] if len(order) else 0.0
        if np.isfinite(width) and width > 0:
            distances[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / width
        if len(order):
            last = np.searchsorted(sorted_, sorted_[-1])
            distances[order[[0, last]]] = np.inf
    return distances


def far_apart(
    costs: NDArray[np.float64], taken: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Choose more rows of one front, each the furthest from those that are taken by then.

    costs: (n, m), without NaN; distances are in shares of each column's range.
    taken: (n,) flags; without any, the first choice is the least of the first column.
    count: how many to choose at most.
    Returns row numbers in the order of choice.
    """
    if not len(costs):
        return np.zeros(0, dtype=np.int64)
    width = np.ptp(costs, axis=0)
    scaled = costs / np.where(width > 0, width, 1.0)
    left = np.where(taken, -np.inf, np.inf)
    for row in np.flatnonzero(taken).tolist():
        left = np.minimum(left, np.abs(scaled - scaled[row]).sum(axis=1))
    chosen: list[int] = []
    while len(chosen) < min(count, int((~taken).sum())):
        row = int(np.argmax(left) if np.isfinite(left).any() else np.argmin(costs[:, 0]))
        chosen.append(row)
        left = np.minimum(left, np.abs(scaled - scaled[row]).sum(axis=1))
        left[[*chosen, *np.flatnonzero(taken)]] = -np.inf
    return np.array(chosen, dtype=np.int64)


def beaten_as_known(costs: NDArray[np.float64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the rows that another one dominates whose figures rest on no fewer trainings.

    costs: (n, m), minimised, without NaN.
    known: (n,) trainings of each.
    Returns (n,) flags.
    """
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better = (costs[:, None] < costs[None]).any(axis=2)
    return np.asarray((no_worse & better & (known[:, None] >= known[None])).any(axis=0))


def best_first(costs: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the numbers of the best rows: by front, then the least crowded, then the earliest.

    costs: (n, m), minimised; rows with NaN are never among them.
    count: how many at most.
    Returns (k,) row numbers.
    """
    costs = np.asarray(costs, dtype=np.float64)
    best: list[np.int64] = []
    for rows in fronts(costs):
        if len(best) >= count:
            break
        best += list(rows[np.argsort(-crowding(costs[rows]), kind="stable")])
    return np.array(best[:count], dtype=np.int64)
