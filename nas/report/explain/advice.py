"""The best network by the rules for a budget of latency, beside the best evaluated one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.noise import NORMAL_QUANTILE
from nas.report.explain.contrasts import to_architectures
from nas.report.explain.explanation import Explanation
from nas.spec.architecture import Architecture
from nas.spec.width import is_widened
from nas.study.front.choice import Choice
from nas.study.front.setbacks import empties

__all__ = ["Advice", "advise"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_PRICES = 48  # of a millisecond, each of which gives a descent
_ROUNDS = 200  # of a descent, at most


@dataclass(frozen=True, slots=True)
class Advice:
    """The best network by the rules within a budget of latency.

    known: whether it was evaluated.
    saved: loss that it should save, with the ends of its 95 % interval.
    latency_ms: that it should take, with the ends of its 95 % interval.
    evaluated: the best that was evaluated; None where none keeps the budget.
    ahead: probability that the predicted one loses less than that, by the rules; NaN where they
        are one network, and beside a backbone that is widened, of which the rules say nothing.
    worse: whether it is a trained network that was changed and loses more than as it was, by all
        of its interval, or by what is expected where slots were emptied: nothing to recommend,
        though nothing better keeps the budget.
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
    worse: bool = False


def advise(
    explanation: Explanation, latency_ms: float, *, max_insertions: int | None = None
) -> Advice:
    """Return the best of all networks that the rules can speak of.

    latency_ms: the budget.
    max_insertions: most blocks of a network; None sets no limit.
    Raises SpecError when no network is so fast.
    """
    codes = _find_best(explanation, latency_ms, max_insertions)
    architecture = _architecture(explanation, codes)
    saved, saved_half = _predict_saved(explanation, codes)
    latency, latency_half = _predict_latency(explanation, codes)
    try:
        evaluated = explanation.front.at(latency_ms=latency_ms)
    except SpecError:  # none of those that were evaluated keeps the budget and is recommended
        evaluated = None
    ahead = math.nan
    # The rules speak of one backbone, and not of it widened.
    rival = None if evaluated is None else evaluated.best
    if rival and rival.architecture != architecture and not is_widened(rival.reference):
        ahead = _probability_ahead(explanation, codes, rival.architecture)
    measured = explanation.front.measured
    return Advice(
        architecture=architecture,
        known=architecture.digest in {measured.digests[row] for row in range(len(measured))},
        saved=saved,
        saved_low=saved - saved_half,
        saved_high=saved + saved_half,
        latency_ms=latency,
        latency_low=latency - latency_half,
        latency_high=latency + latency_half,
        evaluated=evaluated,
        ahead=ahead,
        worse=_is_tuned(explanation) and saved + (0 if empties(architecture) else saved_half) < 0,
    )


def _is_tuned(explanation: Explanation) -> bool:
    regimes = explanation.front.measured.columns["regime"]
    return bool((regimes == "finetune").all())


def _predict_saved(explanation: Explanation, codes: Codes) -> tuple[float, float]:
    """Return the loss that a network saves beside the plain one, and half its 95 % interval."""
    if explanation.contrasts is not None:
        gain = explanation.contrasts.gain(codes[None])
        return float(gain.mean[0]), NORMAL_QUANTILE * float(gain.deviation[0])
    plain = np.zeros_like(codes)
    plain[0] = codes[0]
    rows = explanation.terms.rows(np.array([codes, plain]))
    lost, deviation = explanation.loss.effect(rows[:1] - rows[1:])
    half = NORMAL_QUANTILE * math.hypot(float(deviation[0]), explanation.loss.own)
    return -float(lost[0]), half


def _predict_latency(explanation: Explanation, codes: Codes) -> tuple[float, float]:
    """Return the latency of a network in ms, and half its 95 % interval."""
    model = explanation.latency
    added, deviation = model.effect(explanation.latency_terms.rows(codes[None]))
    half = NORMAL_QUANTILE * math.hypot(float(deviation[0]), model.own)
    return model.intercept + float(added[0]), half


def _probability_ahead(explanation: Explanation, codes: Codes, rival: Architecture) -> float:
    """Return the probability that a network loses less than its rival, by the rules."""
    if explanation.contrasts is not None:
        return _probability_positive(*explanation.contrasts.ahead(codes, rival))
    terms = explanation.terms
    row = terms.rows(codes[None])
    gain, deviation = explanation.loss.effect(terms.rows(terms.codes([rival])) - row)
    own = explanation.loss.own * math.sqrt(2)
    return _probability_positive(float(gain[0]), math.hypot(float(deviation[0]), own))


def _find_best(explanation: Explanation, budget: float, limit: int | None) -> Codes:
    """Return (1 + s,) the codes of the least predicted loss within a budget.

    Descents for many prices of time give starts; single changes improve the best of them while
    they keep the budget. Where there is a belief, it has the last word: the sum of the rules is
    what makes the many starts quick.
    """
    pool = _descend_from_all(explanation, limit)
    latency = _predict(explanation, pool)[1]
    pool = pool[(latency <= budget) & _keeps_limit(explanation, pool, limit)]
    if not len(pool):
        raise SpecError(
            f"by the rules no network takes {budget:g} ms or less; the fastest takes "
            f"{latency.min():.3g}"
        )
    predict = _predict if explanation.contrasts is None else _predict_by_belief
    loss = predict(explanation, pool)[0]
    most = 8 if explanation.contrasts is None else 3  # the belief takes longer
    best = [
        _descend(explanation, pool[row], limit, 0.0, budget, predict)
        for row in np.argsort(loss, kind="stable")[:most]
    ]
    losses = predict(explanation, np.array(best))[0]
    return best[int(np.argmin(losses))]


def _descend_from_all(explanation: Explanation, limit: int | None) -> Codes:
    """Return the fastest plain network, the ends of all descents, and the evaluated networks."""
    plains = _plain_networks(explanation)
    ends = [plains[np.argmin(_predict(explanation, plains)[1])]]
    for plain in plains:
        for price in _prices(explanation):
            ends.append(_descend(explanation, plain, limit, price, math.inf))
    return np.concatenate([np.unique(np.array(ends), axis=0), explanation.codes])


def _plain_networks(explanation: Explanation) -> Codes:
    """Return (b, 1 + s) the codes of the plain networks."""
    terms = explanation.terms
    codes = np.zeros((len(terms.networks), 1 + len(terms.sites)), dtype=np.int64)
    codes[:, 0] = np.arange(len(codes))
    return codes


def _prices(explanation: Explanation) -> Floats:
    """Return prices of a millisecond in loss, from nothing to more than anything saves."""
    loss, latency = _predict(explanation, explanation.codes)
    usual = float(loss.std()) / max(float(latency.std()), 1e-9)
    return np.concatenate([[0.0], usual * np.geomspace(0.01, 30, _PRICES)])


def _predict(explanation: Explanation, codes: Codes) -> tuple[Floats, Floats]:
    """Return (n,) losses and (n,) latencies in ms."""
    loss, latency = explanation.loss, explanation.latency
    return (
        loss.intercept + explanation.terms.rows(codes) @ loss.mean,
        latency.intercept + explanation.latency_terms.rows(codes) @ latency.mean,
    )


def _predict_by_belief(explanation: Explanation, codes: Codes) -> tuple[Floats, Floats]:
    """Return (n,) losses beside the plain network's, and (n,) latencies in ms."""
    assert explanation.contrasts is not None
    return -explanation.contrasts.gain(codes).mean, _predict(explanation, codes)[1]


def _keeps_limit(explanation: Explanation, codes: Codes, limit: int | None) -> NDArray[np.bool_]:
    if limit is None:
        return np.ones(len(codes), dtype=bool)
    return np.asarray(explanation.terms.blocks(codes) <= limit)


def _descend(
    explanation: Explanation,
    codes: Codes,
    limit: int | None,
    price: float,
    budget: float,
    predict: Callable[[Explanation, Codes], tuple[Floats, Floats]] = _predict,
) -> Codes:
    """Change one place at a time, the best first, while that lowers loss and priced time."""

    def cost(networks: Codes) -> Floats:
        loss, latency = predict(explanation, networks)
        allowed = (latency <= budget) & _keeps_limit(explanation, networks, limit)
        return np.where(allowed, loss + price * latency, np.inf)

    least = float(cost(codes[None])[0])
    for _ in range(_ROUNDS):
        neighbours = _neighbours(explanation, codes)
        costs = cost(neighbours)
        best = int(np.argmin(costs))
        if not costs[best] < least - 1e-15:
            break
        codes, least = neighbours[best], float(costs[best])
    return codes


def _neighbours(explanation: Explanation, codes: Codes) -> Codes:
    """Return the networks with another label at one site, of those that may stand there."""
    terms = explanation.terms
    backbone = terms.networks[codes[0]][0]
    several = len({name for name, _ in terms.networks}) > 1
    rows = []
    for site, labels in enumerate(terms.labels):
        if several and not terms.sites[site].startswith(f"{backbone}:"):
            continue
        for code in range(len(labels)):
            row = codes.copy()
            row[1 + site] = code
            rows.append(row)
    return np.array(rows) if rows else codes[None]


def _architecture(explanation: Explanation, codes: Codes) -> Architecture:
    (architecture,) = to_architectures(explanation.terms, codes[None], explanation.like)
    return architecture


def _probability_positive(mean: float, deviation: float) -> float:
    """Return the probability that a normal variable is above 0."""
    if deviation <= 0:
        return float(mean > 0)
    return 0.5 * math.erfc(-mean / deviation / math.sqrt(2))
