"""A hierarchical model of published gains: Gaussian terms, whose spreads are fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from benchmarks.prior.rows import Comparison
from nas.belief.published_prior import amount, lateness

__all__ = ["REFERENCE_ERROR", "SPREADS", "WEIGHTS", "Fitted", "Model", "fit"]

Floats = NDArray[np.float64]

REFERENCE_ERROR = 0.25
"""The plain network's error at which the weights are gains in points."""


def _columns(of: Callable[[Comparison], float]) -> Callable[[Sequence[Comparison]], Floats]:
    return lambda rows: np.array([[of(row)] for row in rows], dtype=np.float64)


WEIGHTS: dict[str, tuple[float, Callable[[Sequence[Comparison]], Floats]]] = {
    "uniform": (3.0, _columns(lambda row: 1.0)),
    "late": (1.0, _columns(lambda row: float(lateness(row.depth)))),
    "after_projection": (1.0, _columns(lambda row: row.position == "after_projection")),
    "after_depthwise": (
        1.0,
        _columns(
            lambda row: (
                row.position in ("after_depthwise", "after_first_depthwise", "after_3x3_conv")
            )
        ),
    ),
    "proposers": (1.0, _columns(lambda row: row.proposed)),
    "finetune": (1.0, _columns(lambda row: row.finetuned)),
    "ratio": (0.3, _columns(lambda row: row.log_ratio)),
    "ratio above 16": (0.5, _columns(lambda row: max(0.0, row.log_ratio))),
    "mobile": (1.0, _columns(lambda row: row.mobile)),
    "detection": (1.0, _columns(lambda row: row.metric in ("AP", "mAP"))),
    "segmentation": (1.0, _columns(lambda row: row.metric == "mIoU")),
}
"""Terms with one weight: the prior deviation of the weight, points, and its feature (n, 1)."""

SPREADS: dict[str, Callable[[Comparison], tuple[str, float]]] = {
    "study": lambda row: (row.study, 1.0),
    "context": lambda row: (row.context, 1.0),
    "kind": lambda row: (row.kind, 1.0),
    "kind, new to each study": lambda row: (f"{row.kind}|{row.study}", 1.0),
    "late by study": lambda row: (row.study, float(lateness(row.depth))),
    "late by kind": lambda row: (row.kind, float(lateness(row.depth))),
}
"""Terms with a weight for each member of a group, whose spread is fitted: group and feature."""


@dataclass(frozen=True)
class Model:
    """Which terms a model has.

    weights, spreads: names in WEIGHTS and SPREADS.
    share: what a share of the sites brings: the whole gain (`ignored`), its share of it
        (`proportional`), or a power of the share that is fitted (`saturating`).
    by_error: whether gain and noise grow with the plain network's error.
    """

    weights: tuple[str, ...] = ("uniform",)
    spreads: tuple[str, ...] = ()
    share: Literal["ignored", "proportional", "saturating"] = "ignored"
    by_error: bool = False

    def kernels(self, rows: Sequence[Comparison], others: Sequence[Comparison]) -> list[Floats]:
        """Return for each term the covariance (n, m) of two sets of rows, spread 1."""
        kernels = []
        for name in self.weights:
            deviation, feature = WEIGHTS[name]
            kernels.append(deviation**2 * feature(rows) @ feature(others).T)
        for name in self.spreads:
            (groups, x), (other_groups, y) = _members(name, rows), _members(name, others)
            kernels.append((groups[:, None] == other_groups[None, :]) * np.outer(x, y))
        return kernels

    @property
    def saturates(self) -> bool:
        """True where the power of the share is fitted."""
        return self.share == "saturating"

    @property
    def start(self) -> Floats:
        """Logarithms of the spreads and the noise, then the exponents that are fitted."""
        exponents = [0.6] * self.saturates + [0.5] * self.by_error
        return np.array([np.log(0.4)] * (len(self.spreads) + 1) + exponents)


def _members(name: str, rows: Sequence[Comparison]) -> tuple[NDArray[np.object_], Floats]:
    pairs = [SPREADS[name](row) for row in rows]
    return np.array([group for group, _ in pairs], dtype=object), np.array([x for _, x in pairs])


@dataclass(frozen=True)
class _Scales:
    """What the parameters mean: (spreads) variances, noise, exponents."""

    variances: Floats
    noise: float
    share: float
    error: float

    @classmethod
    def of(cls, model: Model, x: Floats) -> _Scales:
        count = len(model.spreads)
        rest = list(x[count + 1 :])
        share = float(rest.pop(0)) if model.saturates else float(model.share == "proportional")
        error = float(rest[0]) if model.by_error else 0.0
        variances = np.r_[np.ones(len(model.weights)), np.exp(2 * x[:count])]
        return cls(variances, float(np.exp(x[count])), share, error)

    def gain(self, rows: Sequence[Comparison]) -> Floats:
        """(n,) what multiplies all terms of a row."""
        shares = np.array([row.share for row in rows])
        factors: Floats = amount(shares, self.share) * _error_ratio(rows) ** self.error
        return factors

    def variance(self, rows: Sequence[Comparison]) -> Floats:
        """(n,) of the noise."""
        variances: Floats = self.noise**2 * _error_ratio(rows) ** (2 * self.error)
        return variances


def _error_ratio(rows: Sequence[Comparison]) -> Floats:
    return np.clip(np.array([row.error for row in rows]) / REFERENCE_ERROR, 0.08, 4.0)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model with its spreads, noise and exponents, and the rows that it was fitted to."""

    model: Model
    rows: tuple[Comparison, ...]
    x: Floats
    curvature: Floats = field(repr=False)

    @property
    def scales(self) -> _Scales:
        return _Scales.of(self.model, self.x)

    def spread(self, name: str) -> float:
        """Return the standard deviation of a spread, points."""
        return float(np.exp(self.x[self.model.spreads.index(name)]))

    def exponents(self) -> dict[str, tuple[float, float]]:
        """Return share and error exponents with their deviations, by the curvature of the fit."""
        first = len(self.model.spreads) + 1
        names = ["share"] * self.model.saturates + ["error"] * self.model.by_error
        deviations = np.sqrt(np.diag(np.linalg.inv(self.curvature)))
        return {
            name: (float(self.x[first + number]), float(deviations[first + number]))
            for number, name in enumerate(names)
        }

    def weight(self, name: str) -> tuple[float, float]:
        """Return mean and deviation of a weight, points."""
        deviation, feature = WEIGHTS[name]
        return self._posterior(deviation**2 * feature(self.rows)[:, 0], deviation**2)

    def member(self, spread: str, group: str) -> tuple[float, float]:
        """Return mean and deviation of one group's weight with feature 1, points."""
        groups, x = _members(spread, self.rows)
        variance = self.spread(spread) ** 2
        return self._posterior(variance * (groups == group) * x, variance)

    def _posterior(self, covariance: Floats, variance: float) -> tuple[float, float]:
        """Return mean and deviation of what has this covariance (n,) with the rows' terms."""
        covariance = covariance * self.scales.gain(self.rows)
        factor = cho_factor(self._covariance(), lower=True)
        solved = cho_solve(factor, covariance)
        mean = float(solved @ _gains(self.rows))
        return mean, float(np.sqrt(variance - covariance @ solved))

    def predict(self, rows: Sequence[Comparison]) -> tuple[Floats, Floats]:
        """Return mean (m,) and covariance (m, m) of the gains that other rows would show."""
        factor = cho_factor(self._covariance(), lower=True)
        cross = _sum(self.model, self.scales, rows, self.rows)
        own = _sum(self.model, self.scales, rows, rows) + np.diag(self.scales.variance(rows))
        return (
            cross @ cho_solve(factor, _gains(self.rows)),
            own - cross @ cho_solve(factor, cross.T),
        )

    def _covariance(self) -> Floats:
        scales = self.scales
        return _sum(self.model, scales, self.rows, self.rows) + np.diag(scales.variance(self.rows))


def _gains(rows: Sequence[Comparison]) -> Floats:
    return np.array([row.gain for row in rows])


def _sum(
    model: Model, scales: _Scales, rows: Sequence[Comparison], others: Sequence[Comparison]
) -> Floats:
    total = sum(
        variance * kernel
        for variance, kernel in zip(scales.variances, model.kernels(rows, others), strict=True)
    )
    product: Floats = np.asarray(total) * np.outer(scales.gain(rows), scales.gain(others))
    return product


def fit(model: Model, rows: Sequence[Comparison], start: Floats | None = None) -> Fitted:
    """Fit spreads, noise and exponents by marginal likelihood with weak priors.

    start: where to begin, of a fit to much the same rows.
    """
    kernels, gains = model.kernels(rows, rows), _gains(rows)

    def loss(x: Floats) -> float:
        scales = _Scales.of(model, x)
        factors = scales.gain(rows)
        total = sum(v * kernel for v, kernel in zip(scales.variances, kernels, strict=True))
        covariance = np.asarray(total) * np.outer(factors, factors)
        covariance[np.diag_indices_from(covariance)] += scales.variance(rows)
        factor = cho_factor(covariance, lower=True, check_finite=False)
        fitted = 0.5 * gains @ cho_solve(factor, gains, check_finite=False)
        return float(fitted + np.log(np.diag(factor[0])).sum() + _doubt(model, x))

    bounds = [(-4.0, 2.0)] * (len(model.spreads) + 1)
    bounds += [(0.0, 1.5)] * (len(model.start) - len(bounds))
    options = {"ftol": 1e-9, "maxiter": 200}
    first = model.start if start is None else start
    found = minimize(loss, first, method="L-BFGS-B", bounds=bounds, options=options)
    curvature = _hessian(loss, found.x) if start is None else np.eye(len(found.x))
    return Fitted(model, tuple(rows), found.x, curvature)


def _doubt(model: Model, x: Floats) -> float:
    """Return minus the log density of the weak priors: spreads about .4 within a factor of e."""
    count = len(model.spreads) + 1
    centre, width = model.start, np.r_[np.ones(count), np.full(len(x) - count, 0.5)]
    return float((((x - centre) / width) ** 2).sum() / 2)


def _hessian(of: Callable[[Floats], float], x: Floats, step: float = 1e-3) -> Floats:
    """Return second derivatives (p, p) by central differences."""
    steps = step * np.eye(len(x))
    rows = [
        [
            (of(x + a + b) - of(x + a - b) - of(x - a + b) + of(x - a - b)) / (4 * step**2)
            for b in steps
        ]
        for a in steps
    ]
    return np.array(rows)
