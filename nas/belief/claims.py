"""The claims that joint draws of gains allow, of several networks at once.

Draws are (count, k): what each of k networks may be worth, all of one row together; higher is
better. They may be of any posterior (`nas.belief.posterior`, a `Belief`). A front says many things
at once, so that what is claimed together holds together.
What chose a network is no evidence for it as long as the draws are of a posterior to which the
networks that were not chosen belong, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Budgeted",
    "Claims",
    "RuledOut",
    "beats",
    "cheapest_within",
    "interval",
    "non_inferior",
    "nowhere",
    "probability_best",
    "probability_on_front",
    "simultaneous_interval",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]

_CERTAIN = 1e-12  # relative: differences of networks that are known exactly


@dataclass(frozen=True, eq=False)
class Claims:
    """Which of k networks beat which of r rivals.

    chance: (k, r) probability of each by itself; NaN where it was not asked.
    claimed: (k, r) those that hold together.
    together: probability that all that are claimed are true; 1 where nothing is.
    """

    chance: Floats
    claimed: Flags
    together: float


@dataclass(frozen=True, slots=True)
class Budgeted:
    """The cheapest network that is as good as the best, but for `delta`.

    row: its number.
    probability: that it is worth no less than the best of all less `delta`.
    shown: that this is as probable as was asked for; otherwise it is the most probable network.
    """

    row: int
    probability: float
    shown: bool


@dataclass(frozen=True, slots=True)
class RuledOut:
    """How much there is to be gained at most.

    gain: that no network exceeds, at the level that was asked for.
    probability: that none gains more than `delta`.
    delta: a gain that would not pay.
    """

    gain: float
    probability: float
    delta: float


def interval(draws: Floats, level: float = 0.9) -> tuple[Floats, Floats]:
    """Return the ends of the interval of each network, (k,) both, with equal tails.

    draws: (count, k).
    """
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def simultaneous_interval(draws: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the ends of intervals that hold all at once at the level, (k,) both.

    draws: (count, k), such as of the differences that are shown together. Each interval reaches as
    many of its own deviations as the largest of all misses does.
    """
    mean, deviation = draws.mean(axis=0), draws.std(axis=0)
    scaled = np.abs(draws - mean) / np.where(deviation > 0, deviation, np.inf)
    reach = float(np.quantile(scaled.max(axis=1), level)) if draws.shape[1] else 0.0
    return mean - reach * deviation, mean + reach * deviation


def probability_best(draws: Floats, among: Flags | None = None) -> Floats:
    """Return the probability that each network is the best, (k,); networks that tie share it.

    draws: (count, k).
    among: (k,) networks that take part; the others have none.
    """
    if among is not None:
        draws = np.where(among, draws, -np.inf)
    best = draws == draws.max(axis=1, keepdims=True)
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))


def probability_on_front(draws: Floats, cost: Floats) -> Floats:
    """Return the probability that no network of no more cost is better than each, (k,).

    draws: (count, k); cost: (k,), known.
    """
    order = np.lexsort((-draws.mean(axis=0), cost))
    best = np.maximum.accumulate(draws[:, order], axis=1)
    # Of equal cost each may beat the other.
    last = np.searchsorted(cost[order], cost[order], side="right") - 1
    chance = np.empty(draws.shape[1])
    chance[order] = (draws[:, order] >= best[:, last]).mean(axis=0)
    return chance


def beats(
    draws: Floats,
    rivals: Floats,
    level: float = 0.95,
    *,
    asked: Flags | None = None,
    margin: float = 0.0,
) -> Claims:
    """Claim which networks are better than which rivals, so that all claims hold at once.

    A comparison is claimed where its difference exceeds, in its own deviations, what the largest of
    all differences would reach by chance; then the same of those that are left (step-down by the
    draws' own correlations: Westfall and Young 1993; Romano and Wolf, Econometrica 2005).
    draws: (count, k); rivals: (count, r), of the same draws.
    level: of the two-sided intervals of all comparisons together, which lie above zero.
    asked: (k, r) comparisons that are made at all, such as those with networks that are no slower.
    margin: how much less than its rival a network may be worth (see `non_inferior`).
    """
    networks, against = draws.shape[1], rivals.shape[1]
    asked = np.ones((networks, against), dtype=bool) if asked is None else asked
    rows, columns = np.nonzero(asked)
    chance = np.full((networks, against), np.nan)
    claimed = np.zeros((networks, against), dtype=bool)
    if not len(rows):
        return Claims(chance, claimed, 1.0)
    differences = draws[:, rows] - rivals[:, columns] + margin
    chance[rows, columns] = (differences > 0).mean(axis=0)
    above = _step_down(differences, level)
    claimed[rows[above], columns[above]] = True
    together = float((differences[:, above] > 0).all(axis=1).mean()) if above.any() else 1.0
    return Claims(chance, claimed, together)


def _step_down(differences: Floats, level: float) -> Flags:
    """(p,) which of some differences, (count, p), are above zero, all of them together."""
    mean = differences.mean(axis=0)
    deviation = differences.std(axis=0)
    certain = deviation <= _CERTAIN * (1 + np.abs(mean))
    above: Flags = certain & (mean > 0)
    scaled = (mean - differences) / np.where(certain, np.inf, deviation)
    size = np.where(certain, 0.0, mean / np.where(certain, 1.0, deviation))
    left: Flags = ~certain
    while left.any():
        bound = float(np.quantile(scaled[:, left].max(axis=1), (1 + level) / 2))
        more = left & (size > bound)
        if not more.any():
            break
        above |= more
        left &= ~more
    return np.asarray(above)


def non_inferior(draws: Floats, rival: Floats, margin: float) -> Floats:
    """Return the probability that each network is worth no less than a rival less a margin, (k,).

    draws: (count, k); rival: (count,), of the same draws.
    margin: in the unit of the draws, not negative.
    """
    assert margin >= 0, margin
    return np.asarray((draws > rival[:, None] - margin).mean(axis=0))


def cheapest_within(draws: Floats, cost: Floats, delta: float, level: float = 0.8) -> Budgeted:
    """Return the cheapest network that is worth no less than the best of all less `delta`.

    draws: (count, k); cost: (k,), such as latencies.
    delta: in the unit of the draws, not negative.
    level: how probable that has to be; where no network reaches it, the most probable is returned.
    """
    assert delta >= 0, delta
    chance = (draws >= draws.max(axis=1, keepdims=True) - delta).mean(axis=0)
    enough = np.flatnonzero(chance >= level)
    if not enough.size:
        row = int(np.lexsort((cost, -chance))[0])
        return Budgeted(row, float(chance[row]), shown=False)
    row = int(enough[np.lexsort((-chance[enough], cost[enough]))[0]])
    return Budgeted(row, float(chance[row]), shown=True)


def nowhere(draws: Floats, delta: float = 0.0, level: float = 0.95) -> RuledOut:
    """Return the gain that is ruled out, of all networks that were drawn together.

    draws: (count, k) gains against the network that the question is about, as a plain one.
    delta: a gain that would not pay.
    level: of the gain that no network exceeds.
    """
    most = draws.max(axis=1)
    return RuledOut(float(np.quantile(most, level)), float((most <= delta).mean()), delta)
