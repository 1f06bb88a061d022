"""Asynchronous successive halving by several objectives: which networks go on to the next rung.

MO-ASHA, arXiv:2106.12639: networks are ranked by non-dominated front and then by crowding, and
nobody waits for a rung to fill. Pure functions; every column is minimised.

A departure: not everybody goes on who has ever been among the best. As a search improves, and as
crowding changes with every network, those are many more than 1/reduction of all; `room` counts
how many may. What that saves: benchmarks/search/rungs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.study.front.pareto import best_first, fronts

__all__ = ["Rung", "next_promotion", "next_to_complete"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rung:
    """The networks that have reached one rung, whatever became of them since.

    costs: (n, m), minimised, as they were at this rung.
    closed: (n,) whether they were promoted already, or stopped for good.
    room: how many more may go on.
    """

    costs: Floats
    closed: NDArray[np.bool_]
    room: int

    def __post_init__(self) -> None:
        assert self.costs.ndim == 2 and self.closed.shape == self.costs.shape[:1]


def next_promotion(rungs: Sequence[Rung], *, reduction: int) -> tuple[int, int] | None:
    """Return the rung and the row that should be trained further; None when nobody should.

    Of those that have reached a rung, the best 1/reduction go on while there is room. The
    highest rung comes first, so that whole trainings come early.

    rungs: from the lowest; the top is not among them.
    reduction: one of so many goes on.
    Returns the number of the rung and a row of its costs.
    """
    for number in reversed(range(len(rungs))):
        rung = rungs[number]
        if rung.room <= 0 or rung.closed.all():
            continue
        for row in best_first(rung.costs, len(rung.costs) // reduction):
            if not rung.closed[row]:
                return number, int(row)
    return None


def next_to_complete(costs: Floats, closed: NDArray[np.bool_]) -> int | None:
    """Return the row that should be trained further because it looks as if it were on the front.

    The least crowded row comes first.

    costs: (n, m), minimised: what is known of the top rung, or estimated from a lower one.
    closed: (n,) whether they are not to be trained further.
    Returns None when no row of the front is open.
    """
    front = next(fronts(costs), np.empty(0, dtype=np.int64))
    for row in best_first(costs, len(front)):
        if not closed[row]:
            return int(row)
    return None
