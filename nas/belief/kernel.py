"""The covariance of gains over a grid that knows its structure.

What a network gains is mostly a sum over its sites, with interactions. So the kernel is a sum of
one kernel for each parameter, one of all parameters together that falls with their weighted
Hamming distance, one over free features (latency, params, macs), and one of terms that several
parameters share, such as the number of blocks of a kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from nas.belief.grid import Codes, Floats, Grid
from nas.belief.points import Points, Precision

__all__ = ["Kernel", "KernelShape"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """The prior covariance with hyperparameters put in, as products of matrices.

    own: (c, c) over choices, the covariance of each parameter by itself.
    distance: (c, c) over choices, to be summed over parameters.
    joint: variance of the kernel of all parameters.
    lengths: (f,) length scales of the features.
    feature: variance of the kernel over features.
    terms: (t,) variance of the coefficient of each term.
    reference: the point whose value is 0; None where there is none.
    """

    own: Floats
    distance: Floats
    joint: float
    lengths: Floats
    feature: float
    terms: Floats
    reference: Points | None = None

    def covariance(self, left: Points, right: Points, dtype: Precision = np.float64) -> Floats:
        """Return the covariances (n, k) of n points with k others."""
        total = self._apart(left, right, dtype)
        if self.reference is not None:
            # Of differences from the reference: cov(a - o, b - o).
            total -= self._apart(left, self.reference, dtype)
            total -= self._apart(self.reference, right, dtype)
            total += self._apart(self.reference, self.reference, dtype)
        return total

    def variance(self, points: Points) -> Floats:
        """Return the variances (n,) of the points themselves."""
        total = self._variance_apart(points)
        if self.reference is not None:
            total = total + self._variance_apart(self.reference)
            total = total - 2 * self._apart(points, self.reference, np.float64)[:, 0]
        return np.maximum(total, 0.0)

    def _apart(self, left: Points, right: Points, dtype: Precision) -> Floats:
        one, two = left.one_hot(dtype), right.one_hot(dtype)
        total = one @ (_cast(self.own, dtype) @ two.T)
        # In place: of a million points these are large.
        joint = one @ (_cast(-self.distance, dtype) @ two.T)
        np.exp(joint, out=joint)
        joint *= self.joint
        total += joint
        if len(self.lengths):
            total += self._of_features(left.features, right.features, dtype)
        if len(self.terms):
            total += _cast(left.terms, dtype) @ _cast(right.terms * self.terms, dtype).T
        return total

    def _of_features(self, left: Floats, right: Floats, dtype: Precision) -> Floats:
        """Return (n, k): a Gaussian of the distance, by |a - b|^2 = |a|^2 + |b|^2 - 2 a b."""
        one, two = _cast(left / self.lengths, dtype), _cast(right / self.lengths, dtype)
        near = one @ two.T
        near -= 0.5 * (one**2).sum(axis=1)[:, None]
        near -= 0.5 * (two**2).sum(axis=1)[None, :]
        np.minimum(near, 0, out=near)  # rounding may leave a little above it
        np.exp(near, out=near)
        near *= self.feature
        return near

    def _variance_apart(self, points: Points) -> Floats:
        own = np.diag(self.own)[points.codes + points.grid.first].sum(axis=1)
        total = own + self.joint + (self.feature if len(self.lengths) else 0.0)
        return np.asarray(total + (points.terms**2) @ self.terms)


def _cast(values: Floats, dtype: Precision) -> Floats:
    return cast(Floats, values.astype(dtype))


@dataclass(frozen=True, eq=False)
class KernelShape:
    """The hyperparameters of a kernel, all logarithms, in one row with normal priors.

    They are, in this order: the variance of each parameter's own kernel (d); how fast the joint
    kernel falls with each (d); how much kind, presence and scale count (3); the variance of the
    joint kernel; the length scale of each feature (f); the variance over features; the variance
    of each group of terms (g).

    groups: (t,) number of the group of each term.
    """

    grid: Grid
    features: int
    groups: Codes

    @property
    def _parts(self) -> list[tuple[int, float, float]]:
        """How many, prior mean and prior deviation: a fifth of the variance in sums over sites and
        in features, the rest in what combinations add and in what sites share.
        """
        count = len(self.grid.sizes)
        terms = self._number_of_groups
        return [
            (count, -1.0 - np.log(count), 1.0),
            (count, 0.5 - np.log(count), 1.0),
            (3, 0.0, 0.7),
            (1, -0.6, 1.0),
            (self.features, 0.7, 1.0),
            (1, -1.0, 1.0),
            (terms, -0.5 - np.log(max(terms, 1)), 1.0),
        ]

    @property
    def _number_of_groups(self) -> int:
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    @property
    def size(self) -> int:
        """The number of hyperparameters."""
        return sum(count for count, _, _ in self._parts)

    def prior(self) -> tuple[Floats, Floats]:
        """Return means and deviations of the hyperparameters, (size,) each."""
        means = [np.full(count, mean) for count, mean, _ in self._parts]
        deviations = [np.full(count, deviation) for count, _, deviation in self._parts]
        return np.concatenate(means), np.concatenate(deviations)

    def split(self, at: Floats) -> list[Floats]:
        """Return the parts of one row, as variances and the like, in their order."""
        edges = np.cumsum([count for count, _, _ in self._parts])[:-1]
        return [np.exp(part) for part in np.split(at, edges)]

    def kernel(self, at: Floats, reference: Points | None = None) -> Kernel:
        """Return the kernel with these hyperparameters."""
        weight, reach, difference, joint, length, feature, terms = self.split(at)
        distances = self._distances(difference)
        owner = self.grid.owner
        return Kernel(
            own=(owner[:, None] == owner) * weight[owner] * np.exp(-distances),
            distance=reach[owner] * distances,
            joint=float(joint[0]),
            lengths=length,
            feature=float(feature[0]),
            terms=terms[self.groups],
            reference=reference,
        )

    def _distances(self, difference: Floats) -> Floats:
        """Return (c, c) how different two choices of one parameter are."""
        return np.tensordot(difference, self.grid.differences, axes=1)

    def gradient(self, at: Floats, kernel: Kernel, points: Points, by: Floats) -> Floats:
        """Return what a function of the covariance of points changes with hyperparameters.

        by: (n, n) symmetric derivative of the function by the covariance.
        """
        if kernel.reference is not None:
            # The covariance of differences is C K C', C = [I, -1], over points and reference.
            points = points + kernel.reference
            edge = -by.sum(axis=1)
            by = np.block([[by, edge[:, None]], [edge[None, :], -edge.sum()]])
        weight, reach, difference, *_ = self.split(at)
        owner, count = self.grid.owner, len(self.grid.sizes)
        rows = points.one_hot()
        by_own = (rows.T @ by @ rows) * kernel.own
        near = kernel.joint * np.exp(-(rows @ kernel.distance @ rows.T))
        by_near = by * near
        by_distance = -(rows.T @ by_near @ rows)
        of_reach = by_distance * kernel.distance
        scaled = difference[:, None, None] * self.grid.differences
        of_difference = -(by_own * scaled).sum(axis=(1, 2))
        of_difference += (by_distance * reach[owner] * scaled).sum(axis=(1, 2))
        # A choice's row holds what belongs to its parameter, since others have distance 0.
        return np.concatenate(
            [
                _grouped(owner, by_own.sum(axis=0), count),
                _grouped(owner, of_reach.sum(axis=0), count),
                of_difference,
                [by_near.sum()],
                *self._gradient_of_features(kernel, points, by),
                self._gradient_of_terms(kernel, points, by),
            ]
        )

    def _gradient_of_features(
        self, kernel: Kernel, points: Points, by: Floats
    ) -> tuple[Floats, Floats]:
        if not self.features:
            return np.zeros(0), np.zeros(1)
        own = by * kernel._of_features(points.features, points.features, np.float64)
        scaled = points.features / kernel.lengths
        squares = own.sum(axis=1) @ scaled**2 + own.sum(axis=0) @ scaled**2
        of_length = squares - 2 * np.einsum("if,if->f", scaled, own @ scaled)
        return of_length, np.array([own.sum()])

    def _gradient_of_terms(self, kernel: Kernel, points: Points, by: Floats) -> Floats:
        if not len(self.groups):
            return np.zeros(0)
        each = np.einsum("it,it->t", points.terms, by @ points.terms) * kernel.terms
        return _grouped(self.groups, each, self._number_of_groups)


def _grouped(group: Codes, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(group, values, count), dtype=np.float64)
