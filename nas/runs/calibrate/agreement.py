"""How far a cheap stand-in can be trusted: rank agreement, its ceiling, bias, resolution.

Everything is in terms of quality: higher is better, for the proxy and for the full training that
it stands for. Rows are architectures, columns seeds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from nas.belief.ranks import rank_correlation

__all__ = [
    "Agreement",
    "Bias",
    "Interval",
    "Resolution",
    "agreement",
    "bias",
    "paired_noise",
    "resolution",
]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_DRAWS = 500
_SETS = 20
_RESAMPLED, _EACH = 60, 10  # of a ceiling's interval: rows are drawn again, simulations of each
_TAU = 2 / math.pi  # of Kendall's for a small Pearson correlation
_LEAST_WEIGHT = 3.0  # rows of a group, below which a bootstrap knows no spread
_BEST = 0.25
_SURE = 0.9


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; NaN where the rows say nothing."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rank correlations with full training.

    spearman, kendall: over all rows.
    best_kendall: among the best quarter by full training.
    ceiling, best_ceiling: what a perfect proxy would reach (Spearman over all, Kendall in the
        best quarter), since full training of a few seeds does not know the true order either.
    ceiling_interval, best_ceiling_interval: the same with the 95 % intervals that so few networks
        and seeds leave them.
    """

    spearman: Interval
    kendall: Interval
    best_kendall: Interval
    ceiling: float
    best_ceiling: float
    ceiling_interval: Interval
    best_ceiling_interval: Interval


@dataclass(frozen=True, slots=True)
class Bias:
    """The bias of a proxy towards a group of rows.

    error: mean rank error in shares of all rows, positive where the proxy ranks it too high.
    weight: how many rows it comes from.
    """

    error: Interval
    weight: float


@dataclass(frozen=True, slots=True)
class Resolution:
    """The differences that can be told apart, in units of the quality by full training.

    seed_noise: between seeds of full training, paired.
    proxy_noise: between seeds of the proxy, paired, in its own unit.
    apart: the true difference above which the proxy orders two architectures rightly in 90 % of
        cases.
    difference: the true difference that seeds are counted for.
    seeds_full: of full training, to order two that differ by `difference`.
    seeds_proxy: of the proxy; None where no number of them is enough.
    """

    seed_noise: float
    proxy_noise: float
    apart: float
    difference: float
    seeds_full: int
    seeds_proxy: int | None


def agreement(
    proxy: Floats,
    full: Floats,
    *,
    seeds: int | None = None,
    images: tuple[float, float] | None = None,
    seed: int = 0,
) -> Agreement:
    """Estimate the rank agreement of a proxy with full training.

    Intervals are of a bootstrap over architectures, each with its seeds. Ceilings are of
    a simulation: true qualities as spread as the means are beyond their noise, observed with the
    seed noise that was found.
    proxy: (n, t) qualities; NaN where missing. Or (k, n, t): by k parts of the images, of which
        none is among those that judge the same row of `full`, (k, n, s); means over k count.
    full: (n, s) or (k, n, s) qualities; NaN where missing.
    seeds: of the proxy that are taken together, as a search would that trains with so many; the
        value is the mean over such sets. None: all of them.
    images: standard deviations that the choice of images gives to a row beside the others, by the
        proxy and by full training, each in its unit. They are noise to the ceilings. Of (n, t) and
        (n, s), the same images judge both: what these have in common is no agreement, and is taken
        out of the correlations, as if the images did the same to both. None: they are no matter.
    seed: of the bootstrap and the simulation.
    """
    rng = np.random.default_rng(seed)
    shared = images if full.ndim == 2 else None
    proxies, fulls = _parts(proxy), _parts(full)
    columns = proxies[0].shape[1]
    together = min(seeds or columns, columns)
    sets = list(islice(combinations(range(columns), together), _SETS))
    pairs = [(one, _means(two)) for one, two in zip(proxies, fulls, strict=True)]

    def measure_draw(measure: Callable[[Floats, Floats], float], rows: Whole, draw: int) -> float:
        agreements = []
        for cheap, truth in pairs:
            means = _means(cheap[np.ix_(rows, list(sets[draw % len(sets)]))])
            there = ~np.isnan(means)  # a row may lack just these seeds
            means, truths = means[there], truth[rows][there]
            common = _shared(means, truths, shared)
            common *= 1.0 if measure is rank_correlation else _TAU
            agreements.append(float(np.maximum(-1.0, measure(means, truths) - common)))
        return float(np.mean(agreements))

    def statistic(measure: Callable[[Floats, Floats], float]) -> Interval:
        count = int(full.shape[-2])
        all_rows = np.arange(count)
        drawn = [
            measure_draw(measure, rng.integers(count, size=count), draw) for draw in range(_DRAWS)
        ]
        low, high = _quantiles(drawn)
        value = np.mean([measure_draw(measure, all_rows, number) for number in range(len(sets))])
        return Interval(float(value), low, high)

    ceiling, best = _ceilings(fulls[0], rng, 0.0 if images is None else images[1])
    return Agreement(
        spearman=statistic(rank_correlation),
        kendall=statistic(_kendall),
        best_kendall=statistic(_best_kendall),
        ceiling=ceiling.value,
        best_ceiling=best.value,
        ceiling_interval=ceiling,
        best_ceiling_interval=best,
    )


def _shared(proxy: Floats, full: Floats, images: tuple[float, float] | None) -> float:
    """Return the share of a correlation that the same images make."""
    spread = float(np.std(proxy) * np.std(full))
    if images is None or not spread > 0:
        return 0.0
    return min(1.0, images[0] * images[1] / spread)


def _parts(values: Floats) -> list[Floats]:
    """Return the table by each part of the images, with its seeds levelled."""
    return [_level_seeds(part) for part in (values if values.ndim == 3 else values[None])]


def _level_seeds(values: Floats) -> Floats:
    """Take out what a seed does to all rows alike, which would count where a seed is missing."""
    whole = values[~np.isnan(values).any(axis=1)]
    return values - whole.mean(axis=0) + whole.mean() if len(whole) else values


def _means(values: Floats) -> Floats:
    """Average over the seeds of each row, (n, s) -> (n,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row without any
        return np.asarray(np.nanmean(values, axis=1), dtype=np.float64)


def _quantiles(drawn: list[float]) -> tuple[float, float]:
    known = [value for value in drawn if not math.isnan(value)]
    if not known:
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _kendall(one: Floats, two: Floats) -> float:
    """Return Kendall's tau-b, thousands of times for few rows: scipy's would be slow."""
    if not _vary(one, two):
        return math.nan
    signs = [np.sign(side[:, None] - side[None, :]) for side in (one, two)]
    pairs = math.sqrt(float((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
    return float((signs[0] * signs[1]).sum()) / pairs


def _best_kendall(proxy: Floats, full: Floats) -> float:
    best = np.argsort(-full, kind="stable")[: max(4, math.ceil(_BEST * len(full)))]
    return _kendall(proxy[best], full[best])


def _vary(one: Floats, two: Floats) -> bool:
    return len(one) > 2 and bool(np.ptp(one) > 0) and bool(np.ptp(two) > 0)


def _covariance(proxy: Floats, full: Floats) -> float:
    return float(np.cov(_means(proxy), _means(full))[0, 1])


def _ceilings(full: Floats, rng: np.random.Generator, images: float) -> tuple[Interval, Interval]:
    noise = paired_noise(full)
    if math.isnan(noise):
        unknown = Interval(math.nan, math.nan, math.nan)
        return unknown, unknown
    count, seeds = full.shape
    freedom = (count - 1) * (seeds - 1)
    ceilings = [_ceiling(full, noise, images, _DRAWS, rng)]
    for _ in range(_RESAMPLED):
        rows = rng.integers(count, size=count)
        unsure = noise * math.sqrt(freedom / rng.chisquare(freedom))
        ceilings.append(_ceiling(full[rows], unsure, images, _EACH, rng))
    over_all, among_best = zip(*ceilings, strict=True)
    return (
        Interval(over_all[0], *_quantiles(list(over_all[1:]))),
        Interval(among_best[0], *_quantiles(list(among_best[1:]))),
    )


def _ceiling(
    full: Floats, noise: float, images: float, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return mean correlations of observations with the truth, if the noise is so large."""
    means = _means(full)
    seeds = (~np.isnan(full)).sum(axis=1)
    variance = noise**2 / seeds + images**2
    spread = math.sqrt(max(0.0, float(means.var(ddof=1)) - float(variance.mean())))
    # Shrunk means keep the shape that was found: a few good ones, or one far off.
    shrink = spread / max(float(means.std(ddof=1)), 1e-12)
    truth = means.mean() + (means - means.mean()) * shrink
    all_over, among_best = [], []
    for _ in range(draws):
        observed = truth + rng.normal(0, 1, len(means)) * np.sqrt(variance)
        all_over.append(rank_correlation(truth, observed))
        among_best.append(_best_kendall(truth, observed))
    return _known_mean(all_over), _known_mean(among_best)


def _known_mean(drawn: list[float]) -> float:
    """Average; NaN where no draw says anything, as of networks that differ by noise alone."""
    known = [value for value in drawn if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def paired_noise(values: Floats) -> float:
    """Return the standard deviation between seeds of one row.

    What a seed does to all rows alike is taken out first.
    values: (n, s); NaN where missing.
    Returns NaN with fewer than two rows or seeds.
    """
    whole = values[~np.isnan(values).any(axis=1)]
    rows, seeds = whole.shape
    if rows < 2 or seeds < 2:
        return math.nan
    rest = whole - whole.mean(axis=1, keepdims=True) - whole.mean(axis=0) + whole.mean()
    return math.sqrt(float((rest**2).sum()) / ((rows - 1) * (seeds - 1)))


def bias(
    proxy: Floats, full: Floats, shares: Mapping[str, Floats], *, seed: int = 0
) -> dict[str, Bias]:
    """Return the mean rank error of each group: positive where the proxy ranks it too high.

    Ranks are in shares of all rows, 0 to 1. Groups of fewer than three rows have no interval.
    proxy, full: (n, t) and (n, s) qualities; NaN where missing.
    shares: of each group, (n,): how much of a row belongs to it, such as the share of its blocks
        that are of one kind.
    seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    proxy, full = _level_seeds(proxy), _level_seeds(full)
    count = len(full)

    errors = (rankdata(_means(proxy)) - rankdata(_means(full))) / count
    biases = {}
    for name, share in shares.items():
        drawn = []
        for _ in range(_DRAWS):
            rows = rng.integers(count, size=count)
            weight = share[rows]
            if weight.sum() > 0:
                drawn.append(float((errors[rows] * weight).sum() / weight.sum()))
        if share.sum() == 0 or not drawn:
            continue
        value = float((errors * share).sum() / share.sum())
        enough = share.sum() >= _LEAST_WEIGHT
        ends = _quantiles(drawn) if enough else (math.nan, math.nan)
        biases[name] = Bias(Interval(value, *ends), float(share.sum()))
    return biases


def resolution(
    proxy: Floats,
    full: Floats,
    *,
    difference: float,
    seeds: int | None = None,
    images: tuple[float, float] | None = None,
    apart: tuple[Floats, Floats] | None = None,
) -> Resolution:
    """Estimate what the proxy can tell apart, by its own error in units of full quality.

    The proxy is taken as a line over the true quality, of which full training shows a noisy
    mean: its slope is their covariance over the variance of true qualities, which is that of the
    means less their noise. (A line of full quality over the proxy would be flattened by the proxy's
    error, and the error would look the smaller for it.) What the proxy varies beside that line is
    its error: part of it is seed noise, which more seeds average away, and the rest stays.
    proxy, full: (n, t) and (n, s) qualities; NaN where missing.
    difference: two architectures' true difference, in units of full quality.
    seeds: of the proxy that a search trains with; None: as many as there are here.
    images: as of `agreement`: noise to full training, and what the covariance is too high by.
    apart: (k, n, t) and (k, n, s) qualities by images of which none judges both, as of `agreement`;
        the covariance is then theirs, and needs nothing taken out.
    """
    by_images, full_by_images = images or (0.0, 0.0)
    proxy, full = _level_seeds(proxy), _level_seeds(full)
    x, y = _means(proxy), _means(full)
    seeds_x = float(np.median((~np.isnan(proxy)).sum(axis=1)))
    seeds_y = float(np.median((~np.isnan(full)).sum(axis=1)))
    noise_y = paired_noise(full)
    noise_x = paired_noise(proxy)
    known_y = 0.0 if math.isnan(noise_y) else noise_y
    (var_x, both), (_, var_y) = np.cov(x, y)
    if apart is None:
        both -= by_images * full_by_images
    else:
        both = np.mean([_covariance(*part) for part in zip(*map(_parts, apart), strict=True)])
    true = float(var_y) - known_y**2 / seeds_y - full_by_images**2
    slope = float(both) / true if true > 0 else 0.0
    error = from_seeds = math.inf
    if slope > 0:
        error = max(0.0, float(var_x) / slope**2 - true)
        from_seeds = 0.0 if math.isnan(noise_x) else (noise_x / slope) ** 2 / seeds_x
    stays = max(0.0, error - from_seeds) if slope > 0 else math.inf
    sure = float(norm.ppf(_SURE)) * math.sqrt(2)
    allowed = (difference / sure) ** 2
    full_seeds = max(1, math.ceil(known_y**2 / allowed))
    by_proxy = None
    if stays < allowed:
        by_proxy = max(1, math.ceil(from_seeds * seeds_x / (allowed - stays)))
    left = stays + from_seeds * seeds_x / (seeds or seeds_x)
    return Resolution(
        seed_noise=noise_y,
        proxy_noise=noise_x,
        apart=sure * math.sqrt(left),
        difference=difference,
        seeds_full=full_seeds,
        seeds_proxy=by_proxy,
    )
