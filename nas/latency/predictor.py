"""The latency of networks that were never measured, from ten or twenty that were.

For devices where no difference table exists. Latency is taken as linear in features of the
architecture, on the scale of milliseconds, since operators run one after another. There are far
more features than measurements, so each group of features has a prior variance. These variances
and the noise are not picked but averaged over, weighted by how well they explain the device's
own measurements (Rasmussen and Williams, Gaussian Processes, sections 2.7 and 5.2); the overall
scale is integrated out, which makes the intervals Student's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import MeasurementError
from nas.latency.features import Floats, Integers, check_table

__all__ = ["Predictor", "fit"]

_LEAST = 5  # measurements

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
    """A device as learnt from a few measurements.

    intercept: ms.
    weights: (d,), ms per feature.
    covariance: (d + 1, d + 1) of intercept and weights, ms^2.
    noise: ms, standard deviation of one measurement.
    width: Student's factor of a 90 % interval.
    floor: ms, below which predictions bend so that they stay positive, in order.
    dropped: numbers of the measurements that were taken as broken.
    """

    intercept: float
    weights: Floats
    covariance: Floats
    noise: float
    width: float
    floor: float
    dropped: tuple[int, ...]

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Return latency and half the width of a 90 % interval for new measurements, (n,) each, ms.

        features: (n, d), made as those that the predictor was fitted with.
        Raises MeasurementError for another number of columns, NaN and infinity.
        """
        features = check_table(features, "features", columns=len(self.weights))
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


def fit(features: Floats, latencies: Floats, *, groups: Integers | None = None) -> Predictor:
    """Learn a device from few measurements.

    Measurements that the others contradict beyond noise are dropped, a fifth of them at most.

    features: (m, d) of the measured networks.
    latencies: (m,), ms.
    groups: (d,) the group of each column, as `join` numbers them; None: all are one group.
    Raises MeasurementError for NaN, for latencies of 0 or less, shapes that do not fit, and
    less than 5 measurements.
    """
    features = check_table(features, "features")
    latencies = _check_latencies(latencies, len(features))
    groups = _check_groups(groups, features.shape[1])
    blocks = [features[:, groups == group] for group in np.unique(groups)]
    kernels = np.stack([block @ block.T for block in blocks])
    # The median and its spread, so that one broken measurement does not set the units.
    unit = _centre(latencies)
    targets = (latencies - unit[0]) / unit[1]
    trusted = _trusted(kernels, targets, latencies < _ABSURD * np.median(latencies))
    average = _average(kernels[:, trusted][:, :, trusted], targets[trusted], _DRAWS)
    # From a variance for each group to one for each feature.
    variances = average.variances[:, np.unique(groups, return_inverse=True)[1]]
    dropped = tuple(int(row) for row in np.setdiff1d(np.arange(len(latencies)), trusted))
    return _predictor(features[trusted], variances, average, unit, dropped)


def _check_latencies(latencies: Floats, networks: int) -> Floats:
    latencies = np.asarray(latencies, dtype=np.float64)
    if latencies.shape != (networks,):
        raise MeasurementError(
            f"latencies of shape {latencies.shape} for {networks} measured networks; "
            f"give one per network, shape ({networks},)"
        )
    if not np.isfinite(latencies).all() or (latencies <= 0).any():
        worst = latencies[~(np.isfinite(latencies) & (latencies > 0))][0]
        raise MeasurementError(f"a latency of {worst} ms; measure it again or leave it out")
    if len(latencies) < _LEAST:
        raise MeasurementError(
            f"{len(latencies)} networks measured; measure at least {_LEAST}, better 20"
        )
    return latencies


def _check_groups(groups: Integers | None, features: int) -> Integers:
    groups = np.zeros(features, np.int64) if groups is None else np.asarray(groups)
    if groups.shape != (features,):
        raise MeasurementError(
            f"groups of shape {groups.shape} for {features} features; "
            "give one per column, as `join` returns them"
        )
    return groups


@dataclass(frozen=True)
class _Average:
    """The k draws of variances that are averaged over.

    shares: (k,) their posterior weights.
    variances: (k, g) of the groups of features.
    noises: (k,) variances of one measurement.
    inverses: (k, m, m) of the covariance of the measurements.
    solved: (k, m) inverse times targets.
    scales: (k,) what to multiply variances by.
    freedom: degrees of freedom of Student's distribution.
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
    """Weigh draws of variances by the evidence of the targets, their scale integrated out.

    kernels: (g, m, m) of the groups of features.
    targets: (m,) in units of their own spread.
    count: number of draws; fewer where matrices are large.
    """
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


def _trusted(kernels: Floats, targets: Floats, plausible: NDArray[np.bool_]) -> Integers:
    """Return the row numbers of the measurements to trust.

    Broken ones hide each other, so the most doubtful are taken away one after another, a few
    beyond need, and as many are dropped as the sum of their log odds was largest for.

    plausible: (m,) whether a measurement may be right at all.
    Raises MeasurementError when too few may be.
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
    """Return the predictor by the first two moments of the mixture of all draws.

    features: (m, d) of the measurements that are trusted.
    variances: (k, d) of each feature, in each draw.
    unit: centre and spread of the targets, ms.
    """
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
    """Return median and spread, which outliers do not move.

    A coarse clock may make most values equal.
    """
    centre = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    return centre, max(spread or float(values.std()), 1e-6 * centre)


def _student(freedom: float) -> float:
    """Return the 0.95 quantile of Student's t, to 0.1 % from 4 degrees of freedom.

    Source: Abramowitz and Stegun, 26.7.5.
    """
    z = 1.6448536269514722
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _log_sum(logarithms: Floats) -> Floats:
    """Return the log of the sum of exponentials down the first axis."""
    top = logarithms.max(axis=0)
    return np.asarray(top + np.log(np.exp(logarithms - top).sum(axis=0)))
