"""Latency of networks that were never measured, from ten or twenty that were.

For devices where no difference table exists. Latency is taken as linear in features of the
architecture, on the scale of milliseconds, since operators run one after another. There are far
more features than measurements, so each group of features has a prior variance. These variances
and the noise are not picked but averaged over, weighted by how well they explain the device's
own measurements (Rasmussen and Williams, Gaussian Processes, sections 2.7 and 5.2); the overall
scale is integrated out, which makes the intervals Student's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import MeasurementError

__all__ = ["Predictor", "choose", "fit", "join", "source_columns", "standardised"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_LEAST = 5
_CANDIDATES = 2000
_DESIGN_NOISE = 0.05  # of the features' prior variance: spreads the choice, hardly matters
_SWEEPS = 10

# Variances in units of the measurements' own. A group's is log-normal about the one that its
# columns' scale states, a factor e^1.5 either way.
_DRAWS, _FEW_DRAWS = 1024, 256
_WORK = 5e8  # of inverting a matrix per draw, beyond which there are fewer
_LOG_SPREAD = 1.5
_LOG_NOISE = -4.0
_LOG_NOISE_SPREAD = 2.5
_INTERCEPT = 10.0
_SHAPE = 1.0  # inverse gamma of the overall scale

# A broken measurement may be anything: Cauchy, ten spreads wide, one in fifty.
_BROKEN_WIDTH, _BROKEN_ODDS, _BROKEN_SHARE = 10.0, 0.02, 0.2
_AHEAD = 4
_ABSURD = 20.0  # times the median

_CHUNK = 100_000


@dataclass(frozen=True)
class Predictor:
    """weights: (d,), ms per feature; covariance: (d + 1, d + 1) of intercept and weights, ms^2;
    noise: ms, standard deviation of one measurement; width: Student's factor of a 90 % interval;
    floor: ms, below which predictions bend so that they stay positive, in order.
    dropped: positions of the measurements that were taken as broken.
    """

    intercept: float
    weights: Floats
    covariance: Floats
    noise: float
    width: float
    floor: float
    dropped: tuple[int, ...]

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Latency and half the width of a 90 % interval for a new measurement, (n,) each, in ms.

        features: (n, d), made as those that the predictor was fitted with.
        """
        features = _table(features, "features", columns=len(self.weights))
        mean = features @ self.weights + self.intercept
        mean = np.where(
            mean > self.floor, mean, self.floor * np.exp(np.minimum(mean / self.floor - 1, 0))
        )
        half = np.empty(len(features))
        for start in range(0, len(features), _CHUNK):
            rows = features[start : start + _CHUNK]
            spread = np.einsum("nd,nd->n", rows @ self.covariance[1:, 1:], rows)
            spread += 2 * rows @ self.covariance[1:, 0] + self.covariance[0, 0]
            half[start : start + _CHUNK] = self.width * np.sqrt(
                np.maximum(spread, 0) + self.noise**2
            )
        return mean, half


def join(parts: Sequence[tuple[Floats, float]]) -> tuple[Floats, Whole]:
    """Feature tables of one pool, side by side: features (n, d) and the group (d,) of each column.

    parts: (table (n, any), share): the share of latency's variance that this table is expected
    to explain, relative to the others; right to a factor of five is enough. Columns are centred,
    and each table is scaled as a whole, so give columns of one unit, or `standardised` ones.
    """
    if not parts:
        raise MeasurementError("no feature tables given; give at least one")
    tables = []
    for table, share in parts:
        table = _table(table, "features", rows=len(parts[0][0]))
        table = table - table.mean(axis=0)
        size = math.sqrt(float((table**2).sum()) / max(len(table), 1))
        tables.append(table * math.sqrt(share) / size if size > 0 else table)
    groups = np.repeat(np.arange(len(tables)), [table.shape[1] for table in tables])
    return np.hstack(tables), groups


def standardised(table: Floats) -> Floats:
    """Columns with mean 0 and variance 1, (n, d); constant columns become 0."""
    table = np.asarray(table, dtype=np.float64)
    spread = table.std(axis=0)
    varies = spread > 1e-9 * np.abs(table).max(axis=0, initial=0.0)
    return np.asarray((table - table.mean(axis=0)) / np.where(varies, spread, np.inf))


def source_columns(latencies: Floats, features: Floats) -> Floats:
    """Columns (n, 2 k) that say what other devices need for the networks of a pool.

    latencies: (n, k), ms, of the whole pool on k devices; features: (n, d) of its architectures.
    Each device gives its measurements and what of them the architecture explains: a least
    squares fit over the pool, free of that device's noise. The last in a thousand at either end
    are drawn in: they are mostly failed measurements.
    """
    features = _table(features, "features")
    latencies = _table(latencies, "latencies of other devices", rows=len(features))
    low, high = np.quantile(latencies, [0.001, 0.999], axis=0)
    measured = standardised(np.clip(latencies, low, high))
    smooth = features @ np.linalg.lstsq(features, measured, rcond=1e-6)[0]
    return np.hstack([measured, standardised(smooth)])


def choose(features: Floats, count: int, *, seed: int) -> Whole:
    """Which networks of a pool to measure: `count` row numbers, none twice, in order of choice.

    features: (n, d), scaled as `join` scales them: the scale is the prior. D-optimal: the
    measurements are as informative together as can be. Greedy, then exchanged one by one until
    nothing is won. seed: draws 2,000 candidates from a larger pool. Same arguments, same choice.
    """
    features = _table(features, "features")
    if not 1 <= count <= len(features):
        raise MeasurementError(
            f"{count} networks to be chosen from a pool of {len(features)}; "
            f"ask for 1 to {len(features)}"
        )
    pool = np.arange(len(features))
    if len(pool) > max(_CANDIDATES, count):
        drawn = np.random.default_rng(seed).choice(pool, max(_CANDIDATES, count), replace=False)
        pool = np.sort(drawn)
    rows = features[pool]
    noise = _DESIGN_NOISE * float((rows**2).sum(axis=1).mean()) or 1.0
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(_unknown(rows, chosen, noise).argmax()))
    for _ in range(_SWEEPS):
        before = list(chosen)
        for position in range(count):
            others = chosen[:position] + chosen[position + 1 :]
            unknown = _unknown(rows, others, noise)
            best = int(unknown.argmax())
            if unknown[best] > unknown[chosen[position]] * (1 + 1e-6):
                chosen[position] = best
        if chosen == before:
            break
    return pool[chosen]


def _unknown(rows: Floats, chosen: list[int], noise: float) -> Floats:
    """(n,) prior variance that is left when `chosen` are measured; -1 for these."""
    left = np.asarray((rows**2).sum(axis=1))
    if chosen:
        known = rows[chosen]
        factor = np.linalg.cholesky(known @ known.T + noise * np.eye(len(chosen)))
        left -= (np.linalg.solve(factor, known @ rows.T) ** 2).sum(axis=0)
        left[chosen] = -1.0
    return left


def fit(features: Floats, latencies: Floats, *, groups: Whole | None = None) -> Predictor:
    """Learn a device from few measurements.

    features: (m, d) of the measured networks; latencies: (m,), ms; groups: (d,) the group of
    each column, as `join` numbers them; all are one group without.

    Measurements that the others contradict beyond noise are dropped, a fifth of them at most.
    Raises MeasurementError for NaN, for latencies of 0 or less, shapes that do not fit, and
    less than 5 measurements.
    """
    features = _table(features, "features")
    latencies = np.asarray(latencies, dtype=np.float64)
    if latencies.shape != (len(features),):
        raise MeasurementError(
            f"latencies of shape {latencies.shape} for {len(features)} measured networks; "
            f"give one per network, shape ({len(features)},)"
        )
    if not np.isfinite(latencies).all() or (latencies <= 0).any():
        worst = latencies[~(np.isfinite(latencies) & (latencies > 0))][0]
        raise MeasurementError(f"a latency of {worst} ms; measure it again or leave it out")
    if len(latencies) < _LEAST:
        raise MeasurementError(
            f"{len(latencies)} networks measured; measure at least {_LEAST}, better 20"
        )
    groups = np.zeros(features.shape[1], np.int64) if groups is None else np.asarray(groups)
    if groups.shape != (features.shape[1],):
        raise MeasurementError(
            f"groups of shape {groups.shape} for {features.shape[1]} features; "
            "give one per column, as `join` returns them"
        )
    blocks = [features[:, groups == group] for group in np.unique(groups)]
    kernels = np.stack([block @ block.T for block in blocks])
    unit = _centre(latencies)
    targets = (latencies - unit[0]) / unit[1]
    kept = _trusted(kernels, targets, latencies < _ABSURD * np.median(latencies))
    average = _average(kernels[:, kept][:, :, kept], targets[kept], _DRAWS)
    variances = average.variances[:, np.unique(groups, return_inverse=True)[1]]
    dropped = tuple(int(place) for place in np.setdiff1d(np.arange(len(latencies)), kept))
    return _predictor(features[kept], variances, average, unit, dropped)


@dataclass(frozen=True)
class _Average:
    """The draws: shares: (k,) their posterior weights; variances: (k, g), noises: (k,),
    inverses: (k, m, m) of the covariance of the measurements, scales: (k,) what to multiply
    variances by; solved: (k, m) inverse times targets; freedom: degrees of Student's;
    density: (m,) logarithm of each target's density given all others.
    """

    shares: Floats
    variances: Floats
    noises: Floats
    inverses: Floats
    solved: Floats
    scales: Floats
    freedom: float
    density: Floats


def _average(kernels: Floats, targets: Floats, count: int) -> _Average:
    """Weigh the draws of variances by the evidence of the targets, their scale integrated out."""
    size = len(targets)
    count = min(count, max(64, int(_WORK / size**3)))
    draws = np.random.default_rng(0).standard_normal((count, len(kernels) + 1))
    variances = np.exp(_LOG_SPREAD * draws[:, :-1])
    noises = np.exp(_LOG_NOISE + _LOG_NOISE_SPREAD * draws[:, -1])
    covariances = np.einsum("kg,gij->kij", variances, kernels) + _INTERCEPT
    covariances += noises[:, None, None] * np.eye(size)
    inverses = np.linalg.inv(covariances)
    solved = inverses @ targets
    misfit = solved @ targets
    half_logdet = 0.5 * np.linalg.slogdet(covariances)[1]
    power = _SHAPE + size / 2
    evidence = -half_logdet - power * np.log(_SHAPE + misfit / 2)

    # Without target i: the determinant and the misfit follow from the inverse's diagonal.
    diagonal = np.einsum("kii->ki", inverses)
    rest = misfit[:, None] - solved**2 / diagonal
    without = -half_logdet[:, None] - 0.5 * np.log(diagonal)
    without -= (power - 0.5) * np.log(_SHAPE + np.maximum(rest, 0) / 2)
    density = _log_sum(evidence[:, None]) - _log_sum(without)
    density += math.lgamma(power) - math.lgamma(power - 0.5) - 0.5 * math.log(2 * math.pi)

    shares = np.exp(evidence - evidence.max())
    return _Average(
        shares / shares.sum(),
        variances,
        noises,
        inverses,
        solved,
        (_SHAPE + misfit / 2) / power,
        2 * power,
        density,
    )


def _trusted(kernels: Floats, targets: Floats, plausible: NDArray[np.bool_]) -> Whole:
    """Row numbers of the measurements to trust.

    Broken ones hide each other, so the most doubtful are taken away one after another, a few
    beyond need, and as many are dropped as the sum of their log odds was largest for.
    """
    kept = np.flatnonzero(plausible)
    least = max(_LEAST - 1, math.ceil((1 - _BROKEN_SHARE) * len(targets)))
    if len(kept) < least:
        raise MeasurementError(
            f"{len(targets) - len(kept)} of {len(targets)} latencies are more than "
            f"{_ABSURD:.0f} times their median; measure again on a quiet device"
        )
    best, best_odds, odds = kept, 0.0, 0.0
    while len(kept) > max(least, len(best) - _AHEAD):
        density = _average(kernels[:, kept][:, :, kept], targets[kept], _FEW_DRAWS).density
        broken = -np.log(math.pi * _BROKEN_WIDTH * (1 + (targets[kept] / _BROKEN_WIDTH) ** 2))
        doubt = broken + math.log(_BROKEN_ODDS) - density
        worst = int(doubt.argmax())
        odds += float(doubt[worst])
        kept = np.delete(kept, worst)
        if odds > best_odds:
            best, best_odds = kept, odds
    return best


def _predictor(
    features: Floats,
    variances: Floats,
    average: _Average,
    unit: tuple[float, float],
    dropped: tuple[int, ...],
) -> Predictor:
    """First and second moments of the mixture of all draws; variances: (k, d)."""
    centre, scale = unit
    with_one = np.hstack([np.ones((len(features), 1)), features])
    priors = np.hstack([np.full((len(variances), 1), _INTERCEPT), variances])
    means = priors * (average.solved @ with_one)
    mean = average.shares @ means
    covariance = np.zeros((with_one.shape[1],) * 2)
    for k in np.flatnonzero(average.shares > 1e-4):
        pull = with_one * priors[k]
        within = np.diag(priors[k]) - pull.T @ average.inverses[k] @ pull
        between = means[k] - mean
        covariance += average.shares[k] * (average.scales[k] * within + np.outer(between, between))
    noise = math.sqrt(float(average.shares @ (average.scales * average.noises)))
    return Predictor(
        intercept=float(centre + scale * mean[0]),
        weights=scale * mean[1:],
        covariance=scale**2 * covariance,
        noise=scale * noise,
        width=_student(average.freedom),
        floor=0.01 * centre,
        dropped=dropped,
    )


def _centre(values: Floats) -> tuple[float, float]:
    """Median and spread, which outliers do not move; a coarse clock may make most values equal."""
    centre = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    return centre, max(spread or float(values.std()), 1e-6 * centre)


def _student(freedom: float) -> float:
    """The 0.95 quantile of Student's t, to 0.1 % from 4 degrees (Abramowitz and Stegun, 26.7.5)."""
    z = 1.6448536269514722
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _log_sum(logarithms: Floats) -> Floats:
    """Log of the sum of exponentials down the first axis."""
    top = logarithms.max(axis=0)
    return np.asarray(top + np.log(np.exp(logarithms - top).sum(axis=0)))


def _table(
    values: Floats, name: str, *, rows: int | None = None, columns: int | None = None
) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise MeasurementError(
            f"{name} of shape {values.shape}; give a table with one row per network"
        )
    if rows is not None and len(values) != rows:
        raise MeasurementError(f"{name} of {len(values)} networks; there are {rows}")
    if columns is not None and values.shape[1] != columns:
        raise MeasurementError(
            f"{values.shape[1]} {name}; the predictor was fitted with {columns}, made alike"
        )
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise MeasurementError(f"{name} of network {row} hold NaN or infinity; leave it out")
    return values
