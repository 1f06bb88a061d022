"""A Bayesian linear model whose terms come in groups.

Each group of terms has a prior variance of its own, so that what does not matter fades; the
variances and the noise are not picked but averaged over, about where the data put them. There
are more terms than networks, and an effect of which the data say nothing keeps its wide prior.
(Rasmussen and Williams, Gaussian Processes, sections 2.7 and 5.4; sklearn's BayesianRidge has
one variance for all terms, and does not let noise be known.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from nas.base.threads import one_thread

__all__ = ["AdditiveFit", "fit"]

Floats = NDArray[np.float64]

_SPREAD = 1.5  # of the logarithm of a group's standard deviation, about an even share
_NOISE_SPREAD = 2.0
_AROUND, _DRAWS = 0.5, 48
_MOST = 400  # networks that hyperparameters are fitted to
_WIDE = 100.0  # prior variance of the intercept, in units of the values' own
_LEAST = 1e-6
_BOUNDS = (-12.0, 6.0)  # of hyperparameters


@dataclass(frozen=True, eq=False)
class AdditiveFit:
    """Effects of terms: mean (d,) and covariance (d, d), averaged over hyperparameters.

    own: standard deviation of what a network is beyond the sum. score: log probability of each
    network's value given all others, (n,): which of two models predicts better.
    """

    intercept: float
    mean: Floats
    covariance: Floats
    own: float
    score: Floats

    def effect(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of sums of terms, (k,) each; rows: (k, d)."""
        variance = np.einsum("kd,de,ke->k", rows, self.covariance, rows)
        return rows @ self.mean, np.sqrt(np.maximum(variance, 0.0))

    def draws(self, rows: Floats, count: int, seed: int = 0) -> Floats:
        """Draw what sums of terms may be, (count, k); rows: (k, d)."""
        mean = rows @ self.mean
        covariance = rows @ self.covariance @ rows.T
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        usual = np.random.default_rng(seed).standard_normal((count, len(mean)))
        return np.asarray(mean + usual @ root.T)


@one_thread()
def fit(
    rows: Floats,
    groups: NDArray[np.int64],
    values: Floats,
    *,
    seeds: Floats | None = None,
    noise: float | None = None,
    freedom: int = 0,
    errors: Floats | None = None,
) -> AdditiveFit:
    """Fit the effects of terms, averaged over hyperparameters about their most probable values.

    rows: (n, d) terms of each network.
    groups: (d,) number of the group that each term belongs to.
    values: (n,) means of `seeds` trainings each.
    seeds: (n,) trainings behind each value; None: one.
    noise: standard deviation of one training; None: it is learnt.
    freedom: degrees of freedom that `noise` is known to.
    errors: (n, e) that values have in common, each a column times one standard normal number: they
        cannot be told from effects that lie alike, and widen those.
    """
    count = len(values)
    seeds = np.ones(count) if seeds is None else np.asarray(seeds, dtype=np.float64)
    centre, unit = float(values.mean()), float(values.std()) or 1.0
    target = (values - centre) / unit
    common = np.zeros((count, 0)) if errors is None else errors / unit
    used = np.arange(count)
    if count > _MOST:
        used = np.sort(np.random.default_rng(0).permutation(count)[:_MOST])
    number = int(groups.max()) + 1 if len(groups) else 0
    grams = [rows[np.ix_(used, groups == group)] for group in range(number)]
    shared = np.array([gram @ gram.T for gram in grams]).reshape(number, len(used), len(used))
    centres, spreads = _prior(shared, None if noise is None else noise / unit, freedom)
    model = _Evidence(
        shared,
        target[used],
        1 / seeds[used],
        common[used] @ common[used].T,
        centres,
        spreads,
    )
    optimum = minimize(
        model.cost_and_gradient,
        centres,
        jac=True,
        method="L-BFGS-B",
        bounds=[_BOUNDS] * len(centres),
        options={"maxiter": 100},
    )
    best = np.asarray(optimum.x)
    mean, covariance, own = _averaged(model, best, rows, groups, common, target, seeds)
    return AdditiveFit(
        intercept=centre + unit * float(mean[0]),
        mean=unit * mean[1 : 1 + rows.shape[1]],
        covariance=unit**2 * covariance[1 : 1 + rows.shape[1], 1 : 1 + rows.shape[1]],
        own=unit * own,
        score=model.left_out(best) - math.log(unit),
    )


def _prior(shared: Floats, noise: float | None, freedom: int) -> tuple[Floats, Floats]:
    """Return centres and spreads of the prior of all hyperparameters, (g + 2,) each.

    shared: (g, n, n) of each group with variance 1.
    noise: in units of the values' own deviation.
    """
    # An even share of what there is to explain: each group alone would make a third of it.
    sizes = np.array([max(float(np.trace(gram)) / len(gram), _LEAST) for gram in shared])
    centres = np.append(0.5 * np.log(0.3 / sizes), 0.5 * math.log(0.1))
    spreads = np.full(len(shared) + 1, _SPREAD)
    if noise is None or noise <= 0 or freedom <= 0:
        return np.append(centres, 0.5 * math.log(0.1)), np.append(spreads, _NOISE_SPREAD)
    guess = 2 * math.log(noise)
    return np.append(centres, 0.5 * guess), np.append(spreads, 0.5 * math.sqrt(2 / freedom))


@dataclass(frozen=True, eq=False)
class _Evidence:
    """The evidence for hyperparameters.

    These are logarithms of standard deviations: of the groups, of what a network is by itself, and
    of the noise.

    shared: (g, n, n) of each group with variance 1.
    noise: (n,) variance relative to one training.
    common: (n, n) covariance of errors.
    """

    shared: Floats
    target: Floats
    noise: Floats
    common: Floats
    centres: Floats
    spreads: Floats

    def covariance(self, at: Floats) -> Floats:
        at = np.clip(at, *_BOUNDS)
        total = np.tensordot(np.exp(2 * at[:-2]), self.shared, axes=1) + _WIDE + self.common
        total[np.diag_indices_from(total)] += np.exp(2 * at[-2]) + _LEAST
        total[np.diag_indices_from(total)] += np.exp(2 * at[-1]) * self.noise
        return np.asarray(total)

    def cost(self, at: Floats) -> float:
        """Minus the log posterior."""
        root = cho_factor(self.covariance(at), lower=True, check_finite=False)
        value = 0.5 * float(self.target @ cho_solve(root, self.target, check_finite=False))
        value += float(np.log(np.diag(root[0])).sum())
        return value + 0.5 * float((((at - self.centres) / self.spreads) ** 2).sum())

    def cost_and_gradient(self, at: Floats) -> tuple[float, Floats]:
        """Within the bounds."""
        inverse = np.linalg.inv(self.covariance(at))
        solved = inverse @ self.target
        slope = inverse - np.outer(solved, solved)
        own = np.diag(slope)
        by_group = np.tensordot(self.shared, slope, axes=2)
        gradient = np.append(by_group, [own.sum(), own @ self.noise]) * np.exp(2 * at)
        return self.cost(at), gradient + (at - self.centres) / self.spreads**2

    def left_out(self, at: Floats) -> Floats:
        """(n,) log density of each value given the others."""
        inverse = np.linalg.inv(self.covariance(at))
        variance = 1 / np.diag(inverse)
        missed = (inverse @ self.target) * variance
        return np.asarray(-0.5 * (np.log(2 * np.pi * variance) + missed**2 / variance))


def _averaged(
    model: _Evidence,
    best: Floats,
    rows: Floats,
    groups: NDArray[np.int64],
    common: Floats,
    target: Floats,
    seeds: Floats,
) -> tuple[Floats, Floats, float]:
    """Average the posterior of the terms over draws of hyperparameters about the best.

    The optimum alone would be too sure of itself: with dozens of networks the variances are hardly
    known (importance sampling).
    best: (g + 2,) the most probable hyperparameters.
    rows, groups, common, target, seeds: as of `_posterior`.
    Returns mean (1 + d + e,), covariance, and the deviation of what a network is beyond the sum.
    """
    means, covariances, owns, weights = [], [], [], []
    rng, around = np.random.default_rng(0), np.minimum(_AROUND, model.spreads)
    for draw in range(_DRAWS):
        step = rng.standard_normal(len(best)) * around if draw else 0 * best
        at = best + step
        usual = 0.5 * float(((step / around) ** 2).sum())
        weights.append(-model.cost(at) + usual)
        mean, covariance = _posterior(rows, groups, common, target, seeds, at)
        means.append(mean)
        covariances.append(covariance)
        owns.append(math.exp(2 * at[-2]))
    weight = np.exp(np.array(weights) - max(weights))
    # Few draws carry most of the weight by chance; none may carry all of it.
    weight = np.minimum(weight / weight.sum(), 0.2)
    weight /= weight.sum()
    every = np.array(means)
    mean = weight @ every
    apart = every - mean
    covariance = np.tensordot(weight, np.array(covariances), axes=1)
    covariance += np.einsum("k,ki,kj->ij", weight, apart, apart)
    return mean, covariance, math.sqrt(float(weight @ owns))


def _posterior(
    rows: Floats,
    groups: NDArray[np.int64],
    common: Floats,
    target: Floats,
    seeds: Floats,
    at: Floats,
) -> tuple[Floats, Floats]:
    """Return mean (1 + d + e,) and covariance of intercept, terms and common errors.

    at: hyperparameters, as of `_Evidence`.
    """
    at = np.clip(at, *_BOUNDS)
    whole = np.concatenate([np.ones((len(rows), 1)), rows, common], axis=1)
    variance = np.concatenate([[_WIDE], np.exp(2 * at[:-2])[groups], np.ones(common.shape[1])])
    noise = np.exp(2 * at[-2]) + _LEAST + np.exp(2 * at[-1]) / seeds
    scaled = whole * np.sqrt(variance)
    precision = (scaled.T / noise) @ scaled
    precision[np.diag_indices_from(precision)] += 1.0
    covariance = np.linalg.inv(precision) * np.sqrt(np.outer(variance, variance))
    return covariance @ (whole.T @ (target / noise)), covariance
