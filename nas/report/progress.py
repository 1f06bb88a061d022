"""The progress of a search: its best, its hypervolume and its rungs."""

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

__all__ = ["Progress", "RungSummary", "summarise_rungs", "trace_progress"]

_MARGIN = 0.05
"""The distance of the reference beyond the worst of the front, as a share of the ranges: so the
ends of the front count as well."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Progress:
    """The first trainings of the n networks that came to the top, in the order they ended.

    trial: (n,).
    best: (n,), the best of the first objective so far, as the objective counts.
    volume: (n,), hypervolume so far as a share of that at the end.
    reference: (m,), the objectives from which hypervolume is counted; what is worse than these
        counts for nothing.
    """

    trial: NDArray[np.int64]
    best: Floats
    volume: Floats
    reference: Floats


def trace_progress(trials: Trials, objectives: Sequence[Objective]) -> Progress:
    """Return how far a search had come after each network.

    It counts single trainings, as the search saw them: the best of many is partly luck.
    """
    rows = _finished_rows(trials, objectives)
    signs = np.array([objective.sign for objective in objectives])
    if not len(rows):
        nothing = np.zeros(0)
        return Progress(rows, nothing, nothing, np.full(len(objectives), np.nan))
    costs = signs * np.column_stack([trials[objective.name][rows] for objective in objectives])
    eligible = trials["eligible"][rows] == 1
    reference = _reference(costs[eligible] if eligible.any() else costs)
    volume = _volumes(costs, eligible, reference)
    return Progress(
        trials["trial"][rows],
        signs[0] * np.minimum.accumulate(costs[:, 0]),
        volume / (volume[-1] or 1.0),
        signs * reference,
    )


def _finished_rows(trials: Trials, objectives: Sequence[Objective]) -> NDArray[np.int64]:
    """Return the rows of first trainings with all objectives, in the order they ended."""
    measured = np.logical_and.reduce([np.isfinite(trials[item.name]) for item in objectives])
    rows = np.flatnonzero(trials.complete & (trials["repeat"] == 0) & measured)
    ended = [trials["finished"][row] or "" for row in rows]
    order = sorted(range(len(rows)), key=lambda n: (ended[n], rows[n]))
    return np.asarray(rows[np.array(order, dtype=np.int64)])


def _volumes(costs: Floats, eligible: NDArray[np.bool_], reference: Floats) -> Floats:
    """Return (n,) hypervolumes of the front of the first rows, 1, 2, ..., n of them.

    costs: (n, m), minimised.
    eligible: (n,) flags of the rows that count.
    """
    volumes, volume = np.zeros(len(costs)), 0.0
    front = np.zeros((0, costs.shape[1]))
    for number, (row, counts) in enumerate(zip(costs, eligible, strict=True)):
        # Only what nothing dominates yet changes the front.
        if counts and not (front <= row).all(axis=1).any():
            front = np.vstack([front, row])
            front = front[non_dominated(front)]
            volume = hypervolume(front, reference)
        volumes[number] = volume
    return volumes


def _reference(costs: Floats) -> Floats:
    front = costs[non_dominated(costs)]
    worst, width = front.max(axis=0), np.ptp(costs, axis=0)
    return np.asarray(worst + _MARGIN * np.where(width > 0, width, np.abs(worst) + 1e-9))


@dataclass(frozen=True, slots=True)
class RungSummary:
    """The networks of one rung.

    reached: number that was trained up to it.
    stopped: number of those that were stopped there for good.
    waiting: number of those that are PAUSED there.
    failed_above: number of those that failed on the way to the next.
    """

    budget: float
    reached: int
    stopped: int
    waiting: int
    failed_above: int


def summarise_rungs(trials: Trials, budgets: Sequence[float]) -> list[RungSummary]:
    """Return the rungs from the lowest.

    First trainings alone are counted, since further seeds are never stopped.
    budgets: of the rungs, from the lowest.
    """
    firsts = np.flatnonzero((trials["repeat"] == 0) & np.isfinite(trials["loss"]))
    rung = trials.rung_counts()[firsts]
    state = trials["state"][firsts]
    # A search without early stopping notes no rung below the top.
    rung = np.where(state == COMPLETE, len(budgets) - 1, rung)
    return [
        RungSummary(
            budget,
            reached=int((rung >= number).sum()),
            stopped=int(((rung == number) & (state == PRUNED)).sum()),
            waiting=int(((rung == number) & (state == PAUSED)).sum()),
            failed_above=int(((rung == number) & (state == FAILED)).sum()),
        )
        for number, budget in enumerate(budgets)
    ]
