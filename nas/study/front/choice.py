"""Which network of those that keep a budget is the best, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.claims import Budgeted, cheapest_within, probability_best
from nas.spec.objective import Objective
from nas.study.front.findings import MARGIN, POINTS
from nas.study.front.pareto import beaten_as_known

__all__ = ["DELTAS", "Draw", "Ranking", "rank_within_budget"]

Draw = Callable[[Objective, NDArray[np.int64]], NDArray[np.float64] | None]
"""(objective, (k,) rows) -> (count, k) of what it may be, minimised; None: nothing is known."""

DELTAS = {"loss": MARGIN, "accuracy": POINTS / 100, "retrained_accuracy": POINTS / 100}
"""How much less is as good, by objective: of shares, in shares."""

_BUDGETS = ("latency_ms", "params", "macs")
_COMPARED = 500  # networks at most that are held against each other


@dataclass(frozen=True, slots=True)
class Ranking:
    """The networks that keep a budget, the best first.

    rows: (k,) numbers of the best among those that may be chosen.
    probability: that the first is the best of all that keep the budget; NaN where the noise of
        training is unknown.
    ahead: (k,) probability that the first beats each; NaN likewise.
    count: how many networks keep the budget, those that may not be chosen with them.
    cheapest: the cheapest by the budget that is as good but for `delta`, as a number of `rows`;
        None where the noise is unknown, or nothing says what is as good.
    delta: in the unit of the objective that is chosen by.
    """

    rows: tuple[int, ...]
    probability: float
    ahead: tuple[float, ...]
    count: int
    cheapest: Budgeted | None = None
    delta: float = math.nan


def rank_within_budget(
    columns: Mapping[str, NDArray[Any]],
    kept: NDArray[np.bool_],
    objectives: Sequence[Objective],
    budget: Mapping[str, float],
    draw: Draw,
    *,
    rivals: NDArray[np.bool_] | None = None,
    delta: float | None = None,
) -> Ranking:
    """Rank the networks that keep a budget by the first objective that the budget leaves free.

    columns: (n,) each, as in `NetworkTable`.
    kept: (n,) which networks may be chosen.
    budget: latency in ms, parameters or multiply-adds -> the most allowed.
    draw: of the posterior that ranks; the best has the best expectation, since the best figure of
        many is mostly lucky.
    rivals: (n,) which networks it is held against; None: those that may be chosen.
    delta: how much less is as good; None: as `DELTAS` has it.
    Raises SpecError for a budget of anything else, and when no network keeps it.
    """
    by = _objective_left(objectives, budget)
    within = np.ones(len(kept), dtype=bool)
    for name, bound in budget.items():
        with np.errstate(invalid="ignore"):
            within &= columns[name] <= bound
    within &= ~np.isnan(np.asarray(columns[by.name], dtype=np.float64))
    figures = by.sign * np.asarray(columns[by.name], dtype=np.float64)
    chosen = _best(figures, kept & within)
    if not chosen.size:
        limits = ", ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
        raise SpecError(f"no evaluated network keeps {limits}")
    against = kept if rivals is None else kept | rivals
    others = np.setdiff1d(_best(figures, against & within), chosen)
    count = int((against & within).sum())
    drawn = draw(by, np.concatenate([chosen, others]))
    if drawn is None:
        return Ranking(tuple(chosen.tolist()), math.nan, (math.nan,) * len(chosen), count)
    costs = np.column_stack([item.sign * columns[item.name][chosen] for item in objectives])
    # None is the best that another beats which is known as well.
    beaten = beaten_as_known(costs.astype(np.float64), columns["seeds"][chosen])
    order = np.lexsort((drawn[:, : len(chosen)].mean(axis=0), beaten))
    values = drawn[:, order]
    delta = DELTAS.get(by.name) if delta is None else delta
    cheapest = None
    if delta is not None:
        price = np.asarray(columns[next(iter(budget))], dtype=np.float64)[chosen[order]]
        cheapest = cheapest_within(-values, price, delta)
    return Ranking(
        tuple(chosen[order].tolist()),
        float(probability_best(-np.concatenate([values, drawn[:, len(chosen) :]], axis=1))[0]),
        tuple((values[:, :1] < values).mean(axis=0).tolist()),
        count,
        cheapest,
        math.nan if delta is None else delta,
    )


def _best(figures: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(kept)
    return rows[np.argsort(figures[rows], kind="stable")][:_COMPARED]


def _objective_left(objectives: Sequence[Objective], budget: Mapping[str, float]) -> Objective:
    """Return the objective to choose by. Raises SpecError."""
    wrong = sorted(set(budget) - set(_BUDGETS))
    if wrong or not budget:
        named = repr(wrong[0]) if wrong else "none"
        raise SpecError(f"found budget {named}; allowed: {', '.join(_BUDGETS)}")
    left = next((item for item in objectives if item.name not in budget), None)
    if left is None:
        raise SpecError("every objective has a budget: nothing is left to choose by")
    return left
