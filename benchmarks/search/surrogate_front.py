"""The true front of a surrogate, by a long evolution."""

from __future__ import annotations

import numpy as np

from benchmarks.search.table import Figures, Whole, neighbours
from nas.study.front.pareto import non_dominated

STARTS, GENERATIONS, CHILDREN = 4, 60, 1000


def search_front(predict: Figures, sizes: Whole, rows: Whole) -> Whole:
    """(k, D): the best front that a long evolution finds, the same wherever this runs.

    Once from all rows of the file and then from networks drawn at random, always the front is
    crossed and mutated; what all of them found is then climbed until no network that differs in
    one parameter from a member joins the front.
    """
    ends = []
    for start in range(STARTS):
        rng = np.random.default_rng(start)
        drawn = rng.integers(0, sizes, (len(rows), len(sizes)))
        ends.append(_evolve(predict, sizes, rows if start == 0 else drawn, rng))
    return _climb(predict, sizes, _kept(predict, np.concatenate(ends)))


def _kept(predict: Figures, codes: Whole) -> Whole:
    distinct = np.unique(codes, axis=0)
    return distinct[non_dominated(predict(distinct))]


def _evolve(predict: Figures, sizes: Whole, codes: Whole, rng: np.random.Generator) -> Whole:
    front = _kept(predict, codes)
    for _ in range(GENERATIONS):
        one, other = (front[rng.integers(0, len(front), CHILDREN)] for _ in range(2))
        children = np.where(rng.random(one.shape) < 0.5, one, other)
        mutated = rng.random(one.shape) < 1.5 / len(sizes)
        children = np.where(mutated, rng.integers(0, sizes, one.shape), children)
        front = _kept(predict, np.concatenate([front, children]))
    return front


def _climb(predict: Figures, sizes: Whole, front: Whole) -> Whole:
    while True:
        found = _kept(predict, np.concatenate([front, *(neighbours(row, sizes) for row in front)]))
        if len(found) == len(front) and (found == front).all():
            return found
        front = found
