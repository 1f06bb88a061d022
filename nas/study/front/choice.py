"""Which network of those that keep a budget is the best, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.posterior import draws
from nas.spec.objective import Objective
from nas.study.front.pareto import beaten_as_known

__all__ = ["Ranking", "rank_within_budget"]

_BUDGETS = ("latency_ms", "params", "macs")
_COMPARED = 200  # networks at most that are held against each other


@dataclass(frozen=True, slots=True)
class Ranking:
    """The networks that keep a budget, the best first.

    rows: (k,) numbers of the best among all networks.
    probability: that the first is the best of them; NaN where the noise of training is unknown.
    ahead: (k,) probability that the first beats each; NaN likewise.
    count: how many networks keep the budget.
    """

    rows: tuple[int, ...]
    probability: float
    ahead: tuple[float, ...]
    count: int


def rank_within_budget(
    columns: Mapping[str, NDArray[Any]],
    kept: NDArray[np.bool_],
    objectives: Sequence[Objective],
    budget: Mapping[str, float],
    freedom: int,
) -> Ranking:
    """Rank the networks that keep a budget by the first objective that the budget leaves free.

    columns: (n,) each, as in `NetworkTable`.
    kept: (n,) which networks may be chosen.
    budget: latency in ms, parameters or multiply-adds -> the most allowed.
    freedom: degrees of freedom that the noise between seeds is known to.
    Raises SpecError for a budget of anything else, and when no network keeps it.
    """
    by = _objective_left(objectives, budget)
    for name, bound in budget.items():
        with np.errstate(invalid="ignore"):
            kept = kept & (columns[name] <= bound)
    rows = np.flatnonzero(kept & ~np.isnan(columns[by.name]))
    if not rows.size:
        limits = ", ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
        raise SpecError(f"no evaluated network keeps {limits}")
    order = np.argsort(by.sign * columns[by.name][rows], kind="stable")
    best = rows[order][:_COMPARED]
    drawn = draws({name: values[best] for name, values in columns.items()}, [by], freedom)
    if drawn is None:
        return Ranking(tuple(best.tolist()), math.nan, (math.nan,) * len(best), len(rows))
    expected = drawn[:, :, 0].mean(axis=0)
    costs = np.column_stack([item.sign * columns[item.name][best] for item in objectives])
    # None is the best that another beats which is known as well.
    beaten = beaten_as_known(costs, columns["seeds"][best])
    order = np.lexsort((expected, beaten))
    values = drawn[:, order, 0]
    return Ranking(
        tuple(best[order].tolist()),
        float((values[:, 0] <= values.min(axis=1)).mean()),
        tuple((values[:, :1] < values).mean(axis=0).tolist()),
        len(rows),
    )


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
