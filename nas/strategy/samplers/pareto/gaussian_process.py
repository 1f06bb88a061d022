"""A Gaussian process over the points of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from nas.belief.grid import Floats
from nas.strategy.samplers.pareto.kernel import Inputs, Kernel, Precision

__all__ = ["GaussianProcess"]

_JITTER = 1e-8


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """The posterior of values at the points of a grid; the mean of the prior is 0.

    inputs: the n points that it is conditioned on.
    root: (n, n) lower Cholesky factor of their covariance.
    weights: (n,) inverse of their covariance, times their values.
    """

    kernel: Kernel
    inputs: Inputs
    root: Floats
    weights: Floats

    @classmethod
    def condition(
        cls, kernel: Kernel, inputs: Inputs, values: Floats, pending: Inputs | None = None
    ) -> GaussianProcess:
        """Condition the prior on observed values.

        values: (n,) observed with the kernel's noise.
        pending: points that are being evaluated, with an unknown outcome. They count as they are
            expected to turn out: they take away variance and leave the mean.
        Source: Rasmussen and Williams, Gaussian Processes, algorithm 2.1.
        """
        if pending is not None and len(pending):
            guess = cls.condition(kernel, inputs, values).predict(pending)[0]
            values = np.concatenate([values, guess])
            inputs = Inputs(
                inputs.grid,
                np.concatenate([inputs.codes, pending.codes]),
                np.concatenate([inputs.features, pending.features]),
            )
        covariance = kernel.covariance(inputs, inputs)
        covariance[np.diag_indices_from(covariance)] += kernel.noise + _JITTER
        root = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        weights = cho_solve((root, True), values, check_finite=False)
        return cls(kernel, inputs, root, weights)

    def predict(self, points: Inputs, dtype: Precision = np.float64) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the values at points, without noise; (k,) each."""
        across = self.kernel.covariance(points, self.inputs, dtype)
        mean = across @ self.weights.astype(dtype)
        solved = solve_triangular(
            self.root.astype(dtype), across.T, lower=True, overwrite_b=True, check_finite=False
        )
        left = self.kernel.variance(points) - np.einsum("ij,ij->j", solved, solved)
        return mean.astype(np.float64), np.sqrt(np.maximum(left, 1e-10))
