"""A Gaussian model of gains, fitted to rows of evidence: what it believes of any point.

Hyperparameters of the kernel are at the maximum of their posterior. Those that say how rows are
related to full training (how fast a slow start fades, how far a proxy is to be trusted, how noisy
one training is) are hardly known of a few dozen trainings, and the maximum alone would be too
sure of itself: they are averaged over, by importance sampling about it.
Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, sections 2.2, 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from nas.base.threads import one_thread
from nas.belief.grid import Codes, Floats
from nas.belief.kernel import Kernel, KernelShape
from nas.belief.points import Points, PointSpace, Precision
from nas.belief.relation import Relation

__all__ = ["Gaussian", "Hyperparameters", "fit_hyperparameters"]

_STEPS = 60
_FIT = 300  # rows that hyperparameters are fitted to, at most
_JITTER = 1e-8
_DRAWS, _FEW_DRAWS, _MANY_ROWS = 48, 12, 800
_MOST_WEIGHT = 0.25
_CURVATURE_STEP = 0.25
_CHUNK = 20_000


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """The hyperparameters of a model.

    kernel: that of the networks.
    relation: (k, r) draws of those that relate rows to full training, about their posterior.
    weights: (k,) of the draws; they add up to 1.
    """

    kernel: Kernel
    relation: Floats
    weights: Floats


@one_thread()
def fit_hyperparameters(
    space: PointSpace, points: Points, relation: Relation, values: Floats, *, draws: bool = True
) -> Hyperparameters:
    """Fit hyperparameters to rows of evidence.

    points: the n networks.
    values: (n,) higher is better, about standardised, each level about 0.
    draws: whether to average over those of the relation; False takes the maximum alone.
    """
    count = len(values)
    if count > _FIT:
        rows = _some_rows(relation, _FIT)
        points, relation, values = points[rows], relation.part(rows), values[rows]
    reference = None if space.reference is None else space.points(space.reference[None])
    shape = KernelShape(space.grid, points.features.shape[1], space.groups)
    model = _Evidence(shape, points, relation, values, reference)
    means, spreads = model.prior()
    # One start, from the priors' means: the same rows give the same model.
    optimum = minimize(
        model.cost_and_gradient,
        means,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(means - 4 * spreads, means + 4 * spreads, strict=True)),
        options={"maxiter": _STEPS},
    )
    best = np.asarray(optimum.x)
    kernel = shape.kernel(best[: shape.size], reference)
    at = best[shape.size :]
    if not draws:
        return Hyperparameters(kernel, at[None], np.ones(1))
    number = _DRAWS if count <= _MANY_ROWS else _FEW_DRAWS
    return Hyperparameters(kernel, *model.draws_of_relation(kernel, at, number))


def _some_rows(relation: Relation, count: int) -> Codes:
    """Return so many rows, drawn from each level in turn.

    A few full trainings among hundreds of short ones alone tell how far these agree with them.
    """
    order = np.random.default_rng(0).permutation(len(relation.level))
    level = relation.level[order]
    turn = np.empty(len(order), dtype=np.int64)
    for number in np.unique(level):
        mine = np.flatnonzero(level == number)
        turn[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(turn, kind="stable")[:count]])


@dataclass(frozen=True, eq=False)
class _Evidence:
    """The probability of rows, given hyperparameters: those of the kernel, then of the relation."""

    shape: KernelShape
    points: Points
    relation: Relation
    values: Floats
    reference: Points | None

    def prior(self) -> tuple[Floats, Floats]:
        kernel, relation = self.shape.prior(), self.relation.prior()
        return np.append(kernel[0], relation[0]), np.append(kernel[1], relation[1])

    def cost_and_gradient(self, at: Floats) -> tuple[float, Floats]:
        """Return minus the log posterior of hyperparameters, and its gradient."""
        means, spreads = self.prior()
        size = self.shape.size
        kernel = self.shape.kernel(at[:size], self.reference)
        networks = kernel.covariance(self.points, self.points)
        rows = self.relation.rows(at[size:])
        covariance = networks * rows + self.relation.errors(at[size:])
        covariance[np.diag_indices_from(covariance)] += _JITTER
        root, wrong = lapack.dpotrf(covariance, lower=1, clean=1)
        if wrong:
            # Not positive definite by rounding: the line search turns back from a wall.
            return 1e10, np.zeros_like(at)
        apart = self.values - self.relation.expected(at[size:], self.points.load)[0]
        solved = cho_solve((root, True), apart, check_finite=False)
        inverse = lapack.dpotri(root, lower=1)[0]
        inverse = inverse + np.tril(inverse, -1).T
        by = 0.5 * (inverse - np.outer(solved, solved))
        usual = (at - means) / spreads
        cost = 0.5 * apart @ solved + np.log(np.diag(root)).sum() + 0.5 * usual @ usual
        gradient = np.concatenate(
            [
                self.shape.gradient(at[:size], kernel, self.points, by * rows),
                self.relation.gradient(at[size:], networks, by, self.points.load, -solved),
            ]
        )
        return float(cost), gradient + usual / spreads

    def draws_of_relation(self, kernel: Kernel, at: Floats, number: int) -> tuple[Floats, Floats]:
        """Return draws (k, r) of the relation's hyperparameters, and their weights (k,)."""
        means, spreads = self.relation.prior()
        networks = kernel.covariance(self.points, self.points)

        others = self.relation.of_sources

        def cost(there: Floats) -> float:
            usual = (there - means) / spreads
            usual[others] = 0.0  # the prior of these is on how far they agree, see below
            return self._cost_of_relation(networks, there) + 0.5 * float(usual @ usual)

        here = cost(at)
        centre, spread = at.copy(), np.empty_like(at)
        for index in range(len(at)):
            step = np.zeros_like(at)
            step[index] = _CURVATURE_STEP * spreads[index]
            bend = (cost(at + step) + cost(at - step) - 2 * here) / step[index] ** 2
            spread[index] = 1 / np.sqrt(max(bend, 0.5 / spreads[index] ** 2))
        # Rows at short budgets do not tell whether what they show will last, so that several
        # curves explain them equally well, far from each other: these are drawn from the prior.
        curve = self.relation.of_curve
        centre[curve], spread[curve] = means[curve], spreads[curve]
        rng = np.random.default_rng(0)
        usual = rng.standard_normal((number, len(at)))
        drawn = centre + spread * usual
        # Nor do rows of a proxy alone tell how far it agrees with full training.
        usual[:, others] = 0.0
        agreements = self.relation.draw_agreements(number, rng)
        drawn[:, others] = at[others]
        drawn = np.array(
            [
                self.relation.with_agreement(row, agreement)
                for row, agreement in zip(drawn, agreements, strict=True)
            ]
        )
        weights = np.array([-cost(row) for row in drawn]) + 0.5 * (usual**2).sum(axis=1)
        weights = np.exp(weights - weights.max())
        # Few draws carry most of the weight by chance; none may carry all of it.
        weights = np.minimum(weights / weights.sum(), _MOST_WEIGHT)
        return drawn, weights / weights.sum()

    def _cost_of_relation(self, networks: Floats, at: Floats) -> float:
        covariance = networks * self.relation.rows(at) + self.relation.errors(at)
        covariance[np.diag_indices_from(covariance)] += _JITTER
        root, wrong = lapack.dpotrf(covariance, lower=1, clean=1)
        if wrong:
            return 1e10
        apart = self.values - self.relation.expected(at, self.points.load)[0]
        solved = solve_triangular(root, apart, lower=True, check_finite=False)
        return float(0.5 * solved @ solved + np.log(np.diag(root)).sum())


@dataclass(frozen=True, eq=False)
class _Draw:
    """The model with one draw of the relation's hyperparameters.

    root: (n, n) lower Cholesky factor of the covariance of the rows.
    toward: (n,) how rows vary with the target, in units of the kernel.
    variance: of the target, likewise.
    pulled: (n,) what each row's network adds to the mean of a point, by its covariance with it.
    slower: what the target is less for a network that is full of blocks, before any row.
    """

    root: Floats
    toward: Floats
    variance: float
    pulled: Floats
    slower: float


class Gaussian:
    """The posterior of the gain by full training at any point of a space.

    Raises numpy.linalg.LinAlgError when rows contradict themselves beyond rounding.
    """

    @one_thread()
    def __init__(
        self,
        hyperparameters: Hyperparameters,
        points: Points,
        relation: Relation,
        values: Floats,
    ) -> None:
        self.kernel = hyperparameters.kernel
        self._points = points
        self._weights = hyperparameters.weights
        networks = self.kernel.covariance(points, points)
        self._draws = [
            self._draw(networks, relation, values, at) for at in hyperparameters.relation
        ]
        self._mean = self._weights @ np.array([draw.pulled for draw in self._draws])
        self._variance = float(self._weights @ [draw.variance for draw in self._draws])
        slower = np.array([draw.slower for draw in self._draws])
        self._slower = float(self._weights @ slower)
        self._explained = self._explained_root()
        # Where draws differ in what they expect: a few directions, each with its weight.
        apart = np.array([draw.pulled for draw in self._draws]) - self._mean
        self._apart = (apart * np.sqrt(self._weights)[:, None]).T
        self._slower_apart = (slower - self._slower) * np.sqrt(self._weights)

    def _draw(self, networks: Floats, relation: Relation, values: Floats, at: Floats) -> _Draw:
        covariance = networks * relation.rows(at) + relation.errors(at)
        covariance[np.diag_indices_from(covariance)] += _JITTER
        root = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        toward, variance = relation.target(at)
        usual, slower = relation.expected(at, self._points.load)
        solved = cho_solve((root, True), values - usual, check_finite=False)
        return _Draw(root, toward, variance, toward * solved, slower)

    def _explained_root(self) -> Floats:
        """Return (n, n): squares of a point's covariances times it are what rows explain."""
        if len(self._draws) == 1:
            (draw,) = self._draws
            eye = np.diag(draw.toward)
            solved = solve_triangular(draw.root, eye, lower=True, check_finite=False)
            return np.asarray(solved.T)
        total = np.zeros_like(self._draws[0].root)
        for weight, draw in zip(self._weights, self._draws, strict=True):
            inverse = lapack.dpotri(draw.root, lower=1)[0]
            inverse = inverse + np.tril(inverse, -1).T
            total += weight * inverse * np.outer(draw.toward, draw.toward)
        values, vectors = np.linalg.eigh(total)
        kept = values > values.max(initial=0.0) * 1e-12
        return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))

    @one_thread()
    def predict(self, points: Points, dtype: Precision = np.float64) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (k,) of the target at points, without noise."""
        means, deviations = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            rows = slice(start, start + _CHUNK)
            means[rows], deviations[rows] = self._predict(points[rows], dtype)
        return means, deviations

    def _predict(self, points: Points, dtype: Precision) -> tuple[Floats, Floats]:
        across = self.kernel.covariance(points, self._points, dtype)
        mean = across @ self._mean.astype(dtype) + self._slower * points.load
        explained = across @ self._explained.astype(dtype)
        left = self._variance * self.kernel.variance(points)
        left -= np.einsum("ij,ij->i", explained, explained)
        apart = across @ self._apart.astype(dtype)
        apart += np.outer(points.load, self._slower_apart)
        left += np.einsum("ij,ij->i", apart, apart)
        return mean.astype(np.float64), np.sqrt(np.maximum(left, 1e-12))

    @one_thread()
    def joint(self, points: Points) -> tuple[Floats, Floats]:
        """Return mean (k,) and covariance (k, k) of the target at points, without noise."""
        across = self.kernel.covariance(points, self._points)
        mean = across @ self._mean + self._slower * points.load
        explained = across @ self._explained
        apart = across @ self._apart + np.outer(points.load, self._slower_apart)
        covariance = self._variance * self.kernel.covariance(points, points)
        return mean, covariance - explained @ explained.T + apart @ apart.T

    @one_thread()
    def draws(self, points: Points, count: int, seed: int = 0) -> Floats:
        """Return joint draws (count, k) of the target at points."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self._draws), size=count, p=self._weights)
        usual = rng.standard_normal((count, len(points)))
        across = self.kernel.covariance(points, self._points)
        own = self.kernel.covariance(points, points)
        drawn = np.empty((count, len(points)))
        for number in np.unique(which):
            draw = self._draws[number]
            solved = solve_triangular(
                draw.root, (across * draw.toward).T, lower=True, check_finite=False
            )
            spread = _root(draw.variance * own - solved.T @ solved)
            rows = which == number
            mean = across @ draw.pulled + draw.slower * points.load
            drawn[rows] = mean + usual[rows] @ spread.T
        return drawn


def _root(covariance: Floats) -> Floats:
    """Return a square root of a covariance, which may be singular: of a point that is there twice.

    Of hundreds of points, an eigendecomposition takes thirty times as long.
    """
    least = _JITTER * float(np.diag(covariance).max(initial=0.0))
    raised = covariance + least * np.eye(len(covariance))
    root, wrong = lapack.dpotrf(raised, lower=1, clean=1)
    if wrong:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
    return np.asarray(root)
