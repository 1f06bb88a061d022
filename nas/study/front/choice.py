"""Which network of those that keep a budget is the best, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.claims import Budgeted, cheapest_within, nowhere, probability_best
from nas.spec.architecture import PLAIN
from nas.spec.objective import Objective
from nas.spec.width import is_widened
from nas.study.front.believed import Believed
from nas.study.front.findings import MARGIN, POINTS
from nas.study.front.network_table import NetworkTable
from nas.study.front.pareto import beaten_as_known
from nas.study.front.point import Point

__all__ = [
    "DELTA",
    "DELTAS",
    "Choice",
    "Draw",
    "Ranking",
    "RuledOut",
    "choose",
    "rank_within_budget",
]

Draw = Callable[[Objective, NDArray[np.int64]], NDArray[np.float64] | None]
"""(objective, (k,) rows) -> (count, k) of what it may be, minimised; None: nothing is known."""

DELTA = 0.005
"""How much less accuracy by full training, as a share, is as good where it is believed in."""

DELTAS = {"loss": MARGIN, "accuracy": POINTS / 100, "retrained_accuracy": POINTS / 100}
"""How much less is as good, by objective: of shares, in shares."""

_BUDGETS = ("latency_ms", "params", "macs")
_COMPARED = 500  # networks at most that are held against each other
_RIVALS = 3  # that are named beside a choice


@dataclass(frozen=True, slots=True)
class RuledOut:
    """The gain over the plain network that is ruled out, and of what.

    gain: that no network exceeds with a probability of .95, in `unit`.
    probability: that none gains more than `delta`.
    networks: number of evaluated networks that this holds for.
    sites: number of sites at which they had a block.
    """

    gain: float
    probability: float
    delta: float
    unit: str
    networks: int
    sites: int


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
    delta: in the unit of `unit`.
    unit: as `Choice` has it.
    ruled_out: likewise.
    """

    rows: tuple[int, ...]
    probability: float
    ahead: tuple[float, ...]
    count: int
    cheapest: Budgeted | None = None
    delta: float = math.nan
    unit: str = "loss"
    ruled_out: RuledOut | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The best network within a budget, and how sure that is.

    probability: that it is the best of all within the budget, among them those that were trained
        too little to be shown; NaN where the noise of training is not known.
    rivals: the next best, each with the probability that the best one beats it.
    networks: how many keep the budget.
    cheapest: the cheapest network that is as good as the best but for `delta`, with the probability
        of that; None where none has a probability of .8.
    delta: how much worse still counts as equally good, in `unit`.
    unit: `accuracy` (a share), by full training where something is believed of it, or the name of
        the objective that is chosen by.
    ruled_out: the gain by attention that is ruled out within the budget.
    """

    best: Point
    probability: float
    rivals: tuple[tuple[Point, float], ...]
    networks: int
    cheapest: tuple[Point, float] | None = None
    delta: float = math.nan
    unit: str = "loss"
    ruled_out: RuledOut | None = None

    @property
    def nowhere(self) -> bool:
        """True where the plain network is as good as the best, but for `delta`."""
        return self.cheapest is not None and self.cheapest[0].is_plain

    @classmethod
    def of(
        cls, ranking: Ranking, points_of: Callable[[NDArray[np.int64]], Sequence[Point]]
    ) -> Choice:
        """Name the best of a ranking, its rivals, and the cheapest where that is sure enough.

        points_of: the points of rows (k,), in their order.
        """
        rows = np.array(ranking.rows, dtype=np.int64)
        best, *others = points_of(rows[: _RIVALS + 1])
        cheapest = None
        if ranking.cheapest is not None and ranking.cheapest.shown:
            (point,) = points_of(rows[[ranking.cheapest.row]])
            cheapest = (point, ranking.cheapest.probability)
        return cls(
            best,
            ranking.probability,
            tuple(zip(others, ranking.ahead[1 : _RIVALS + 1], strict=True)),
            ranking.count,
            cheapest,
            ranking.delta,
            ranking.unit,
            ranking.ruled_out,
        )


def choose(
    measured: NetworkTable,
    keep: NDArray[np.bool_],
    objectives: Sequence[Objective],
    believed: Believed,
    budget: Mapping[str, float],
    draw: Draw,
    *,
    within: float | None = None,
    setbacks: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
) -> Ranking:
    """Rank the networks of a front that keep a budget.

    The cheapest that is as good is by accuracy by full training where that is believed in, else by
    the objective that is chosen by.
    keep: (n,) networks that the filters of the front have left.
    budget, draw: as `rank_within_budget` has them.
    within: points of accuracy by full training that count as no difference; None: half a point.
    setbacks: (k,) rows -> which of them are shown to be worse than the trained network that they
        came from, and are not to be chosen; None: none are.
    Raises SpecError for a budget of anything but latency and cost, when no network keeps it that
    may be chosen, and for a `within` that is no such number or that nothing is known of.
    """
    if within is not None and not (math.isfinite(within) and within >= 0):
        raise SpecError(f"within {within:g}; allowed: points of accuracy, 0 or more")
    columns = measured.columns
    placed = columns["reference"] != None  # noqa: E711
    # A hand-placed network that the space does not hold can be had all the same.
    kept = keep & ((columns["eligible"] == 1) | placed)
    if setbacks is not None:
        in_budget, figures = _in_budget(columns, _objective_left(objectives, budget), budget)
        worse = _setbacks_ahead(figures, kept & in_budget, setbacks)
        keep, kept = (_without(flags, worse) for flags in (keep, kept))
        if worse.size and not (kept & in_budget).any():
            raise _nothing_but_setbacks(measured, worse, budget)
    ranking = rank_within_budget(columns, kept, objectives, budget, draw, rivals=keep)
    rows = np.array(ranking.rows, dtype=np.int64)
    gains = believed.gains(measured, rows, "accuracy")
    if gains is None:
        if within is not None:
            raise SpecError(
                f"within {within:g} points: nothing is known of accuracy by full training"
            )
        return ranking
    delta = DELTA if within is None else within / 100
    price = np.asarray(columns[next(iter(budget))][rows], dtype=np.float64)
    return replace(
        ranking,
        cheapest=cheapest_within(gains, price, delta),
        delta=delta,
        unit="accuracy",
        ruled_out=_rule_out(measured, rows, gains, delta),
    )


def _setbacks_ahead(
    figures: NDArray[np.float64],
    kept: NDArray[np.bool_],
    setbacks: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> NDArray[np.int64]:
    """Return the networks that may not be chosen, (k,), of all those that would be ranked.

    They are looked for by their figures, the best first, until so many others are there as are
    held against each other: of a million networks few are asked.
    """
    rows, worse, others = _by_figure(figures, kept), [], 0
    for start in range(0, len(rows), _COMPARED):
        part = rows[start : start + _COMPARED]
        flags = setbacks(part)
        worse.append(part[flags])
        others += int((~flags).sum())
        if others >= _COMPARED:
            break
    return np.concatenate(worse) if worse else rows[:0]


def _without(flags: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    left = flags.copy()
    left[rows] = False
    return left


def _nothing_but_setbacks(
    measured: NetworkTable, rows: NDArray[np.int64], budget: Mapping[str, float]
) -> SpecError:
    limits = ", ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
    names = measured.columns["reference"][rows].tolist()
    trials = measured.columns["trial"][rows].tolist()
    worse = [name or f"trial {trial}" for name, trial in zip(names, trials, strict=True)]
    more = f" and {len(worse) - _RIVALS} more" if len(worse) > _RIVALS else ""
    return SpecError(
        f"no evaluated network that keeps {limits} is to be recommended: what does "
        f"({', '.join(worse[:_RIVALS])}{more}) is shown or likely to be worse than the trained "
        "network that it came from; allow more, or take a smaller backbone"
    )


def _rule_out(
    measured: NetworkTable, rows: NDArray[np.int64], gains: NDArray[np.float64], delta: float
) -> RuledOut | None:
    """Return what attention gains in accuracy at most; None where no network has any.

    gains: (count, k) draws of what the networks of `rows` gain.
    """
    names = measured.columns["reference"][rows].tolist()
    # A wider network has none either.
    others = np.array(
        [row for row, name in enumerate(names) if name != PLAIN and not is_widened(name)],
        dtype=np.int64,
    )
    if not others.size:
        return None
    most = nowhere(gains[:, others], delta)
    architectures = measured.architectures_of(rows[others])
    sites = {item.site for architecture in architectures for item in architecture.insertions}
    return RuledOut(most.gain, most.probability, most.delta, "accuracy", len(others), len(sites))


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
    within, figures = _in_budget(columns, by, budget)
    chosen = _best(figures, kept & within)
    if not chosen.size:
        limits = ", ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
        raise SpecError(f"no evaluated network keeps {limits}")
    against = kept if rivals is None else kept | rivals
    others = np.setdiff1d(_best(figures, against & within), chosen)
    count = int((against & within).sum())
    drawn = draw(by, np.concatenate([chosen, others]))
    if drawn is None:
        unknown = (math.nan,) * len(chosen)
        return Ranking(tuple(chosen.tolist()), math.nan, unknown, count, unit=by.name)
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
        by.name,
    )


def _in_budget(
    columns: Mapping[str, NDArray[Any]], by: Objective, budget: Mapping[str, float]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which networks (n,) keep a budget, and their figures (n,) to choose by, minimised."""
    figures = by.sign * np.asarray(columns[by.name], dtype=np.float64)
    within = ~np.isnan(figures)
    for name, bound in budget.items():
        with np.errstate(invalid="ignore"):
            within &= columns[name] <= bound
    return within, figures


def _best(figures: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    return _by_figure(figures, kept)[:_COMPARED]


def _by_figure(figures: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(kept)
    return rows[np.argsort(figures[rows], kind="stable")]


def _objective_left(objectives: Sequence[Objective], budget: Mapping[str, float]) -> Objective:
    """Return the objective to choose by. Raises SpecError."""
    wrong = sorted(set(budget) - set(_BUDGETS))
    if wrong or not budget:
        named = repr(wrong[0]) if wrong else "none"
        raise SpecError(f"found budget {named}; allowed: {', '.join(_BUDGETS)}")
    for name, most in budget.items():
        if not isinstance(most, int | float) or math.isnan(most):
            raise SpecError(f"{name}: found {most!r}; allowed: a number, as in {name}=8")
    left = next((item for item in objectives if item.name not in budget), None)
    if left is None:
        raise SpecError("every objective has a budget: nothing is left to choose by")
    return left
