"""Pareto dominance on arrays. Pure functions; every column is minimised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["non_dominated"]


def non_dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the rows that no other row dominates.

    costs: (n, m), minimised. A row dominates another when it is nowhere larger and
    somewhere smaller. Of equal rows all are kept or none; rows with NaN are never kept.
    Returns (n,) bool.
    """
    costs = np.asarray(costs, dtype=np.float64)
    assert costs.ndim == 2, costs.shape
    keep = np.zeros(len(costs), dtype=bool)
    usable = np.flatnonzero(~np.isnan(costs).any(axis=1))
    if usable.size == 0:
        return keep
    distinct, inverse = np.unique(costs[usable], axis=0, return_inverse=True)
    front = _front_of_two if costs.shape[1] == 2 else _front_of_many
    keep[usable] = front(distinct)[inverse.reshape(-1)]
    return keep


def _front_of_two(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows distinct and sorted lexicographically: one survives by lowering the second column."""
    lowest_before = np.minimum.accumulate(rows[:, 1])[:-1]
    return np.concatenate([[True], rows[1:, 1] < lowest_before])


def _front_of_many(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows distinct and sorted lexicographically: a row is dominated only by an earlier one."""
    kept = np.zeros(len(rows), dtype=bool)
    for index, row in enumerate(rows):
        kept[index] = not (rows[kept] <= row).all(axis=1).any()
    return kept
