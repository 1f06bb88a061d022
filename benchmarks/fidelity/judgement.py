"""How a candidate is judged against the truth, by the rules in RULES.md: pure functions of figures.

Two questions are put to a candidate, which is one figure for each network: does it order the
networks as the truth does (overall), and does it do so among networks with the same number of
blocks of each kind and the same multiply-adds (placement)? Each answer has an interval by
bootstrap over networks. Where the truth was trained twice, its own agreement is the ceiling.

All take one row for each network, and a seed, so that the same figures give the same answer.
Figures must be finite: what a network that failed to train is worth, the caller decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.belief.ranks import rank_correlation

__all__ = [
    "Figure",
    "Judgement",
    "advantage",
    "agreement",
    "best_possible",
    "bootstrap",
    "ceiling",
    "judge",
    "judge_fits",
    "placement_residuals",
    "reliability",
    "spearman",
    "spearman_brown",
]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

DRAWS, SEED, LEVEL = 2000, 0, 0.90
_EXACT = 1e-9  # residuals that are smaller, as a share of the figure's spread, are rounding


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval: the middle 90 % of its bootstrap draws.

    drawn: share of the draws that had a value. Where it is under a half, low and high are NaN.
    """

    value: float
    low: float
    high: float
    drawn: float = 1.0

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Overall: over all networks. Placement: given counts of kinds and log multiply-adds."""

    overall: Figure
    placement: Figure


def spearman(one: Floats, two: Floats) -> float:
    """Return the rank correlation of two figures (n,); equal values share the mean of their ranks.

    NaN with fewer than three networks, and where a figure is the same for all.
    """
    return rank_correlation(one, two)


def placement_residuals(figure: Floats, counts: Floats, log_macs: Floats) -> Floats:
    """Return what (n,) is left of a figure that counts and log multiply-adds do not tell.

    By least squares with an intercept; columns may depend on each other.
    figure: (n,); counts: (n, k) blocks of each kind; log_macs: (n,).
    All NaN where too few networks differ for two to be compared.
    """
    columns = np.column_stack([counts, log_macs])
    # Centred and scaled, since multiply-adds and counts are of different sizes.
    columns = columns - columns.mean(axis=0)
    scale = columns.std(axis=0)
    known = np.column_stack([np.ones(len(figure)), columns / np.where(scale > 0, scale, 1.0)])
    found, _, rank, _ = np.linalg.lstsq(known, figure, rcond=None)
    # A network that a bootstrap draws twice tells nothing twice.
    different = {row.tobytes() for row in np.column_stack([known, figure])}
    if len(different) - int(rank) < 2:
        return np.full(len(figure), np.nan)
    spread = float(np.std(figure))
    rest = figure - known @ found
    if spread == 0:
        return np.zeros(len(figure))
    # What is told exactly leaves rounding, whose order would mean nothing; equal ones stay equal.
    return np.asarray(np.round(rest / (spread * _EXACT)) * (spread * _EXACT))


def bootstrap(
    statistic: Callable[[Whole], Floats],
    count: int,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[Figure, ...]:
    """Return figures with their intervals, by drawing networks with replacement.

    statistic: rows (n,) -> figures (m,), NaN where they have no value.
    count: number of networks, n.
    """
    values = np.atleast_1d(statistic(np.arange(count)))
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, count, count)) for _ in range(draws)])
    return _figures(values, drawn.reshape(draws, len(values)))


def _figures(values: Floats, drawn: Floats) -> tuple[Figure, ...]:
    """Return figures (m,) with the intervals that their draws (draws, m) leave them."""
    tail = (1 - LEVEL) / 2
    figures = []
    for value, column in zip(values, drawn.T, strict=True):
        known = column[np.isfinite(column)]
        share = len(known) / len(column)
        low, high = np.quantile(known, [tail, 1 - tail]) if share >= 0.5 else (np.nan, np.nan)
        figures.append(Figure(float(value), float(low), float(high), share))
    return tuple(figures)


def judge(
    candidate: Floats,
    truth: Floats,
    counts: Floats,
    log_macs: Floats,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Judgement:
    """Return how far a candidate (n,) orders networks as the truth (n,) does.

    Both are minimised, or both maximised. counts: (n, k) blocks of each kind; log_macs: (n,).
    """
    _check(candidate, truth, counts, log_macs)
    overall, placement = bootstrap(
        lambda rows: _agreement(candidate, truth, counts, log_macs, rows),
        len(truth),
        draws=draws,
        seed=seed,
    )
    return Judgement(overall, placement)


def advantage(
    candidate: Floats,
    rival: Floats,
    truth: Floats,
    counts: Floats,
    log_macs: Floats,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Judgement:
    """Return how much better a candidate (n,) agrees with the truth than a rival (n,) does.

    Differences of the figures of `judge`, each draw of networks the same for both.
    A rival that tells nothing of placement, as one that is made of the counts themselves, has 0.
    """
    _check(candidate, truth, counts, log_macs)
    _check(rival, truth, counts, log_macs)

    overall, placement = bootstrap(
        lambda rows: _difference(candidate, rival, truth, counts, log_macs, rows),
        len(truth),
        draws=draws,
        seed=seed,
    )
    return Judgement(overall, placement)


def judge_fits(
    candidates: Floats,
    truth: Floats,
    counts: Floats,
    log_macs: Floats,
    *,
    rivals: Floats | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Judgement:
    """Judge a candidate that was fitted to several sets of trainings, each drawn by itself.

    candidates: (t, n), of the same networks n by t fits; rivals: (t, n) of fits to the same sets,
        to judge the advantage over them; None: to judge the candidate.

    The value is the mean over the fits. The interval is that of one fit: a draw takes one of
    them, and networks. Fits with no value, as of a constant, are left out.
    """
    for candidate in candidates:
        _check(candidate, truth, counts, log_macs)

    def found(fit: int, rows: Whole) -> Floats:
        if rivals is None:
            return _agreement(candidates[fit], truth, counts, log_macs, rows)
        return _difference(candidates[fit], rivals[fit], truth, counts, log_macs, rows)

    whole = np.array([found(fit, np.arange(len(truth))) for fit in range(len(candidates))])
    known = np.isfinite(whole)
    totals = np.where(known, whole, 0.0).sum(axis=0)
    values = np.where(known.any(axis=0), totals / np.maximum(known.sum(axis=0), 1), np.nan)
    rng = np.random.default_rng(seed)
    drawn = [
        found(number % len(candidates), rng.integers(0, len(truth), len(truth)))
        for number in range(draws)
    ]
    overall, placement = _figures(values, np.array(drawn))
    return Judgement(overall, placement)


def ceiling(
    first: Floats,
    second: Floats,
    counts: Floats,
    log_macs: Floats,
    *,
    length: float = 1.0,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Judgement:
    """Return how far the truth agrees with itself: two trainings (n,) of the same networks.

    length: trainings that the truth of a network is the mean of; it need not be a whole number
        where some networks have more than others. A mean agrees with another mean by more than
        one training with another does (Spearman-Brown).

    Placement needs many networks: with twelve of them, four kinds and multiply-adds, six are left
    to compare, and more than a third of the draws leave too few; then see `reliability`, too.

    It is the truth's reliability. A candidate with the noise of one training stays below it; one
    without any noise could reach `best_possible` of it.
    """
    _check(first, second, counts, log_macs)

    def corrected(rows: Whole) -> Floats:
        single = _agreement(first, second, counts, log_macs, rows)
        return np.array([spearman_brown(float(value), length) for value in single])

    overall, placement = bootstrap(corrected, len(first), draws=draws, seed=seed)
    return Judgement(overall, placement)


def reliability(
    truth: Floats,
    trainings: Floats,
    first: Floats,
    second: Floats,
    counts: Floats,
    log_macs: Floats,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Judgement:
    """Return the share of the truth's variance that is no noise, over all of its networks.

    The ceiling once more, where few networks have two trainings: those tell the noise alone, all
    networks tell the variance. By values and not by ranks; at least 0.
    truth: (n,) means of trainings (n,) of each network, which `counts` and `log_macs` are of.
    first, second: (p,) two trainings of the same networks.
    """
    _check(truth, truth, counts, log_macs)
    squares = (first - second) ** 2 / 2
    # Networks and repeats are drawn apart: whose repeats they are does not matter.
    rng = np.random.default_rng(seed)

    def shares(rows: Whole, noise: float) -> Floats:
        own = noise * float(np.mean(1 / trainings[rows]))
        rest = placement_residuals(truth[rows], counts[rows], log_macs[rows])
        known = np.column_stack([np.ones(len(rows)), counts[rows], log_macs[rows]])
        freedom = max(len(rows) - int(np.linalg.matrix_rank(known)), 1)
        variances = np.array([np.var(truth[rows], ddof=1), float(rest @ rest) / freedom])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.maximum(1 - own / variances, 0.0)

    count, pairs = len(truth), len(squares)
    values = shares(np.arange(count), float(squares.mean()))
    drawn = [
        shares(rng.integers(0, count, count), float(squares[rng.integers(0, pairs, pairs)].mean()))
        for _ in range(draws)
    ]
    overall, placement = _figures(values, np.array(drawn))
    return Judgement(overall, placement)


def spearman_brown(single: float, length: float) -> float:
    """Return the reliability of a mean of `length` measurements, from that of one.

    One that is not above 0 stays as it is: means of nothing but noise agree no better.
    """
    if not single > 0:
        return single
    return length * single / (1 + (length - 1) * single)


def best_possible(reliable: float) -> float:
    """Return how far a candidate without noise could agree with a truth of some reliability."""
    return math.sqrt(max(reliable, 0.0))


def agreement(one: Floats, two: Floats, counts: Floats, log_macs: Floats) -> Floats:
    """Return the rank correlation (2,) of figures (n,): overall, and of what is left of both."""
    left = [placement_residuals(each, counts, log_macs) for each in (one, two)]
    return np.array([spearman(one, two), spearman(*left)])


def _agreement(one: Floats, two: Floats, counts: Floats, log_macs: Floats, rows: Whole) -> Floats:
    return agreement(one[rows], two[rows], counts[rows], log_macs[rows])


def _difference(
    candidate: Floats,
    rival: Floats,
    truth: Floats,
    counts: Floats,
    log_macs: Floats,
    rows: Whole,
) -> Floats:
    ours = _agreement(candidate, truth, counts, log_macs, rows)
    theirs = _agreement(rival, truth, counts, log_macs, rows)
    return np.asarray(ours - np.where(np.isnan(theirs) & ~np.isnan(ours), 0.0, theirs))


def _check(one: Floats, two: Floats, counts: Floats, log_macs: Floats) -> None:
    count = len(two)
    if one.shape != (count,) or two.shape != (count,) or log_macs.shape != (count,):
        raise ValueError(f"figures of shapes {one.shape}, {two.shape}, {log_macs.shape} differ")
    if counts.ndim != 2 or len(counts) != count:
        raise ValueError(f"counts of shape {counts.shape}; ({count}, kinds) is needed")
    wrong = ~np.isfinite(np.column_stack([one, two, counts, log_macs])).all(axis=1)
    if wrong.any():
        raise ValueError(f"network {int(np.flatnonzero(wrong)[0])} has a figure that is not finite")
