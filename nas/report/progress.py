"""How a search went: what it had found after each network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.spec.objective import Objective
from nas.study.front.indicators import hypervolume
from nas.study.front.pareto import non_dominated
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED
from nas.study.trials import Trials

__all__ = ["Course", "Level", "course", "levels"]

_MARGIN = 0.05
"""Beyond the worst of the front, as a share of the ranges: so its ends count as well."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Course:
    """The first training of every network that came to the top, in the order they ended.

    trial: (n,). best: (n,), the best of the first objective so far, as the objective counts.
    volume: (n,), hypervolume so far as a share of that at the end. reference: (m,), the objectives
    from which it is counted; what is worse than these counts for nothing.
    """

    trial: NDArray[np.int64]
    best: Floats
    volume: Floats
    reference: Floats


def course(trials: Trials, objectives: Sequence[Objective]) -> Course:
    """Of single trainings, as the search saw them: the best of many is partly luck."""
    known = np.logical_and.reduce([np.isfinite(trials[item.name]) for item in objectives])
    rows = np.flatnonzero(trials.complete & (trials["repeat"] == 0) & known)
    ended = [trials["finished"][row] or "" for row in rows]
    rows = rows[np.array(sorted(range(len(rows)), key=lambda n: (ended[n], rows[n])), dtype=int)]
    signs = np.array([item.sign for item in objectives])
    costs = signs * np.column_stack([trials[item.name][rows] for item in objectives])
    if not len(rows):
        nothing = np.zeros(0)
        return Course(rows, nothing, nothing, np.full(len(objectives), np.nan))
    eligible = trials["eligible"][rows] == 1
    reference = _reference(costs[eligible] if eligible.any() else costs)
    volume, total = np.zeros(len(rows)), 0.0
    front = np.zeros((0, costs.shape[1]))
    for number, (row, counts) in enumerate(zip(costs, eligible, strict=True)):
        # Only what nothing dominates yet changes the front.
        if counts and not (front <= row).all(axis=1).any():
            front = np.vstack([front, row])
            front = front[non_dominated(front)]
            total = hypervolume(front, reference)
        volume[number] = total
    return Course(
        trials["trial"][rows],
        signs[0] * np.minimum.accumulate(costs[:, 0]),
        volume / (total or 1.0),
        signs * reference,
    )


def _reference(costs: Floats) -> Floats:
    front = costs[non_dominated(costs)]
    worst, width = front.max(axis=0), np.ptp(costs, axis=0)
    return np.asarray(worst + _MARGIN * np.where(width > 0, width, np.abs(worst) + 1e-9))


@dataclass(frozen=True, slots=True)
class Level:
    """A rung. reached: networks that were trained up to it. stopped: for good; waiting: PAUSED."""

    budget: float
    reached: int
    stopped: int
    waiting: int
    failed_above: int


def levels(trials: Trials, budgets: Sequence[float]) -> list[Level]:
    """From the lowest rung; first trainings alone, since further seeds are never stopped."""
    firsts = np.flatnonzero((trials["repeat"] == 0) & np.isfinite(trials["loss"]))
    rung = trials.rung_counts()[firsts]
    state = trials["state"][firsts]
    # A search without early stopping notes no rung below the top.
    rung = np.where(state == COMPLETE, len(budgets) - 1, rung)
    return [
        Level(
            budget,
            reached=int((rung >= number).sum()),
            stopped=int(((rung == number) & (state == PRUNED)).sum()),
            waiting=int(((rung == number) & (state == PAUSED)).sum()),
            failed_above=int(((rung == number) & (state == FAILED)).sum()),
        )
        for number, budget in enumerate(budgets)
    ]
