"""The kernel over a grid that knows its structure.

What a network costs or gains is mostly a sum over its sites, with interactions. So the kernel is
a sum of one kernel for each parameter, one of all parameters together that falls with their
weighted Hamming distance, and one over free features (latency, params, macs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from nas.strategy.samplers.pareto.grid import Codes, Floats, Grid

__all__ = ["Inputs", "Kernel", "Precision"]

Precision = type[np.float32] | type[np.float64]
"""The type that covariances are computed in: screening a pool does with single precision."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Points of a grid with what is known of them for free.

    codes: (n, d).
    features: (n, f), each about standardised.
    """

    grid: Grid
    codes: Codes
    features: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Codes | NDArray[np.bool_] | slice) -> Inputs:
        return Inputs(self.grid, self.codes[rows], self.features[rows])

    def one_hot(self, dtype: Precision = np.float32) -> Floats:
        """Return (n, c) over all choices of all parameters."""
        rows: Floats = np.zeros((len(self.codes), int(self.grid.sizes.sum())), dtype=dtype)
        rows[np.arange(len(rows))[:, None], self.codes + self.grid.first] = 1
        return rows


@dataclass(frozen=True, eq=False)
class Kernel:
    """The prior covariance with hyperparameters put in, as products of matrices.

    own: (c, c) over choices, the covariance of each parameter by itself.
    distance: (c, c) over choices, to be summed over parameters.
    lengths: (f,) length scales of the features.
    joint: variance of the kernel of all parameters.
    feature: variance of the kernel over features.
    noise: variance of one observation.
    """

    own: Floats
    distance: Floats
    lengths: Floats
    joint: float
    feature: float
    noise: float

    def covariance(self, left: Inputs, right: Inputs, dtype: Precision = np.float64) -> Floats:
        """Return the covariances (n, k) of n points with k others, without noise."""
        one, two = left.one_hot(dtype), right.one_hot(dtype)
        total = one @ (_cast(self.own, dtype) @ two.T)
        # In place: of a pool of 100,000 points these are large.
        joint = one @ (_cast(self.distance, dtype) @ two.T)
        np.negative(joint, out=joint)
        np.exp(joint, out=joint)
        joint *= self.joint
        total += joint
        if len(self.lengths):
            total += self._feature_covariance(left.features, right.features, dtype)
        return total

    def _feature_covariance(self, left: Floats, right: Floats, dtype: Precision) -> Floats:
        """Return (n, k): a Gaussian of the distance, by |a - b|^2 = |a|^2 + |b|^2 - 2 a b."""
        one, two = _cast(left / self.lengths, dtype), _cast(right / self.lengths, dtype)
        near = one @ two.T
        near -= 0.5 * (one**2).sum(axis=1)[:, None]
        near -= 0.5 * (two**2).sum(axis=1)[None, :]
        np.minimum(near, 0, out=near)  # rounding may leave a little above it
        np.exp(near, out=near)
        near *= self.feature
        return near

    def variance(self, points: Inputs) -> Floats:
        """Return the variances (n,) of the points themselves, without noise."""
        own = np.diag(self.own)[points.codes + points.grid.first].sum(axis=1)
        return np.asarray(own + self.joint + (self.feature if len(self.lengths) else 0.0))


def _cast(values: Floats, dtype: Precision) -> Floats:
    return cast(Floats, values.astype(dtype))
