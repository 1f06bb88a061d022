"""What to put where for a budget: the best network by the rules, beside the best evaluated one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.noise import NORMAL_QUANTILE
from nas.report.explain.rules import Explanation
from nas.spec.architecture import Architecture, Insertion
from nas.study.front.front import Choice

__all__ = ["Advice", "advise"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_PRICES = 48  # of a millisecond, in loss, from which a search starts
_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Advice:
    """The best network by the rules within a budget, with 95 % intervals of what it should save
    and how long it should take. evaluated: the best that was evaluated; None: none keeps the
    budget. ahead: probability that the predicted one loses less than that, by the rules; NaN
    where they are one network.
    """

    architecture: Architecture
    known: bool
    saved: float
    saved_low: float
    saved_high: float
    latency_ms: float
    latency_low: float
    latency_high: float
    evaluated: Choice | None
    ahead: float


def advise(found: Explanation, latency_ms: float, *, max_insertions: int | None = None) -> Advice:
    """Search all networks that the rules can speak of. Raises SpecError when none is so fast."""
    codes = _best(found, latency_ms, max_insertions)
    terms = found.terms
    row = terms.rows(codes[None])
    plain = np.zeros_like(codes[None])
    plain[:, 0] = codes[0]
    zero = terms.rows(plain)
    lost, deviation = found.loss.effect(row - zero)
    own = found.loss.own
    half = NORMAL_QUANTILE * math.hypot(float(deviation[0]), own)
    time_row = found.latency_terms.rows(codes[None])
    slower, spread = found.latency.effect(time_row)
    wide = NORMAL_QUANTILE * math.hypot(float(spread[0]), found.latency.own)
    latency = found.latency.intercept + float(slower[0])
    architecture = _architecture(found, codes)
    evaluated, ahead = None, math.nan
    try:
        evaluated = found.front.at(latency_ms=latency_ms)
    except SpecError:  # none of those that were evaluated keeps the budget
        evaluated = None
    if evaluated is not None and evaluated.best.architecture != architecture:
        other = terms.rows(terms.codes([evaluated.best.architecture]))
        gain, unsure = found.loss.effect(other - row)
        ahead = _above(float(gain[0]), math.hypot(float(unsure[0]), own * math.sqrt(2)))
    digests = {found.front.measured.digests[row] for row in range(len(found.front.measured))}
    saved = -float(lost[0])
    return Advice(
        architecture=architecture,
        known=architecture.digest in digests,
        saved=saved,
        saved_low=saved - half,
        saved_high=saved + half,
        latency_ms=latency,
        latency_low=latency - wide,
        latency_high=latency + wide,
        evaluated=evaluated,
        ahead=ahead,
    )


def _best(found: Explanation, budget: float, limit: int | None) -> Codes:
    """(1 + s,) the least predicted loss within the budget: descents for many prices of time, then
    single changes while they keep it.
    """
    starts = [np.zeros(1 + len(found.terms.sites), dtype=np.int64)]
    starts[0][0] = np.argmin(_predicted(found, _each_network(found))[1])
    for number in range(len(found.terms.networks)):
        for price in _prices(found):
            start = np.zeros_like(starts[0])
            start[0] = number
            starts.append(_descended(found, start, limit, price, math.inf))
    pool = np.unique(np.array(starts), axis=0)
    pool = np.concatenate([pool, found.codes])
    latency = _predicted(found, pool)[1]
    pool = pool[(latency <= budget) & _within(found, pool, limit)]
    if not len(pool):
        raise SpecError(
            f"by the rules no network takes {budget:g} ms or less; the fastest takes "
            f"{latency.min():.3g}"
        )
    loss = _predicted(found, pool)[0]
    best = [
        _descended(found, pool[row], limit, 0.0, budget)
        for row in np.argsort(loss, kind="stable")[:8]
    ]
    losses = _predicted(found, np.array(best))[0]
    return best[int(np.argmin(losses))]


def _each_network(found: Explanation) -> Codes:
    codes = np.zeros((len(found.terms.networks), 1 + len(found.terms.sites)), dtype=np.int64)
    codes[:, 0] = np.arange(len(codes))
    return codes


def _prices(found: Explanation) -> Floats:
    """Of a millisecond, in loss: from nothing to more than anything saves."""
    loss, latency = _predicted(found, found.codes)
    usual = float(loss.std()) / max(float(latency.std()), 1e-9)
    return np.concatenate([[0.0], usual * np.geomspace(0.01, 30, _PRICES)])


def _predicted(found: Explanation, codes: Codes) -> tuple[Floats, Floats]:
    loss = found.loss.intercept + found.terms.rows(codes) @ found.loss.mean
    latency = found.latency.intercept + found.latency_terms.rows(codes) @ found.latency.mean
    return loss, latency


def _within(found: Explanation, codes: Codes, limit: int | None) -> NDArray[np.bool_]:
    if limit is None:
        return np.ones(len(codes), dtype=bool)
    return np.asarray(found.terms.blocks(codes) <= limit)


def _descended(
    found: Explanation, codes: Codes, limit: int | None, price: float, budget: float
) -> Codes:
    """Change one place at a time, the best first, while that lowers loss and priced time."""

    def cost(some: Codes) -> Floats:
        loss, latency = _predicted(found, some)
        total = loss + price * latency
        return np.where((latency <= budget) & _within(found, some, limit), total, np.inf)

    now = float(cost(codes[None])[0])
    for _ in range(_ROUNDS):
        near = _neighbours(found, codes)
        costs = cost(near)
        best = int(np.argmin(costs))
        if not costs[best] < now - 1e-15:
            break
        codes, now = near[best], float(costs[best])
    return codes


def _neighbours(found: Explanation, codes: Codes) -> Codes:
    """With another label at one site, of those that may stand in this network."""
    backbone = found.terms.networks[codes[0]][0]
    several = len({name for name, _ in found.terms.networks}) > 1
    rows = []
    for site, labels in enumerate(found.terms.labels):
        if several and not found.terms.sites[site].startswith(f"{backbone}:"):
            continue
        for code in range(len(labels)):
            row = codes.copy()
            row[1 + site] = code
            rows.append(row)
    return np.array(rows) if rows else codes[None]


def _architecture(found: Explanation, codes: Codes) -> Architecture:
    backbone, resolution = found.terms.networks[codes[0]]
    columns = found.front.measured
    stride = next(
        columns.architecture(row).total_stride
        for row in range(len(columns))
        if columns.architecture(row).backbone == backbone
    )
    insertions = [
        Insertion.of(site.rpartition(":")[2], labels[code])
        for site, labels, code in zip(
            found.terms.sites, found.terms.labels, codes[1:].tolist(), strict=True
        )
        if code
    ]
    return Architecture(backbone, resolution, tuple(insertions), stride)


def _above(mean: float, deviation: float) -> float:
    """Probability that a normal variable is above 0."""
    if deviation <= 0:
        return float(mean > 0)
    return 0.5 * math.erfc(-mean / deviation / math.sqrt(2))
