"""A Gaussian process over a grid that knows its structure.

What a network costs or gains is mostly a sum over its places, with interactions: the kernel is
a sum of one kernel for each parameter, one of all parameters together that falls with their
weighted Hamming distance, and one over free features (latency, params, macs).
Hyperparameters are at the maximum of their posterior. How long that takes, with the screening of a
pool: benchmarks/search/ask_speed.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from torch import Tensor

from nas.strategy.samplers.pareto.grid import Codes, Floats, Grid

__all__ = ["GaussianProcess", "Inputs", "fit"]

Precision = type[np.float32] | type[np.float64]

_STEPS = 40
_JITTER = 1e-8
_LEAST_NOISE = 1e-6
_CERTAIN = 0.1  # deviation of the logarithm of what is known


@dataclass(frozen=True, eq=False)
class Inputs:
    """Points of a grid with what is known of them for free.

    codes: (n, d). features: (n, f), each about standardised.
    """

    grid: Grid
    codes: Codes
    features: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Codes | NDArray[np.bool_] | slice) -> Inputs:
        return Inputs(self.grid, self.codes[rows], self.features[rows])

    def one_hot(self, dtype: Precision = np.float32) -> Floats:
        """(n, c) over all choices of all parameters."""
        rows: Floats = np.zeros((len(self.codes), int(self.grid.sizes.sum())), dtype=dtype)
        rows[np.arange(len(rows))[:, None], self.codes + self.grid.first] = 1
        return rows


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """All on logarithmic scales, and with normal priors there.

    weight: (d,) variance of each parameter's own kernel. reach: (d,) how fast the kernel of all
    parameters falls. difference: (3,) of kind, presence and scale in both. joint: variance of
    the kernel of all parameters. feature: (f,) length scales, and their kernel's variance.
    """

    weight: Tensor
    reach: Tensor
    difference: Tensor
    joint: Tensor
    length: Tensor
    feature: Tensor
    noise: Tensor

    @classmethod
    def of(cls, flat: Tensor, parameters: int, features: int) -> Hyperparameters:
        sizes = [parameters, parameters, 3, 1, features, 1, 1]
        return cls(*torch.split(flat, sizes))


def _priors(parameters: int, features: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each: half the variance is in the sum over parameters."""
    parts = [
        (parameters, -1.0 - np.log(parameters), 1.0),
        (parameters, 0.5 - np.log(parameters), 1.0),
        (3, 0.0, 0.7),
        (1, -1.0, 1.0),
        (features, 0.7, 1.0),
        (1, -1.0, 1.0),
        (1, -5.0, 2.0),
    ]
    mean = torch.cat([torch.full((size,), float(value)) for size, value, _ in parts])
    spread = torch.cat([torch.full((size,), float(value)) for size, _, value in parts])
    return mean.double(), spread.double()


@dataclass(frozen=True, eq=False)
class Kernel:
    """The prior covariance with hyperparameters put in, as products of matrices.

    own, all: (c, c) over choices: of each parameter by itself, and distances to be summed over
    parameters. lengths: (f,). joint, feature, noise: variances.
    """

    own: Floats
    all: Floats
    lengths: Floats
    joint: float
    feature: float
    noise: float

    def between(self, left: Inputs, right: Inputs, dtype: Precision = np.float64) -> Floats:
        """(n, k) covariances."""
        one, two = left.one_hot(dtype), right.one_hot(dtype)
        found = one @ (_as(self.own, dtype) @ two.T)
        apart = one @ (_as(self.all, dtype) @ two.T)
        np.negative(apart, out=apart)
        np.exp(apart, out=apart)
        apart *= self.joint
        found += apart
        if len(self.lengths):
            found += self._of_features(left.features, right.features, dtype)
        return found

    def _of_features(self, left: Floats, right: Floats, dtype: Precision) -> Floats:
        one, two = _as(left / self.lengths, dtype), _as(right / self.lengths, dtype)
        apart = one @ two.T
        apart -= 0.5 * (one**2).sum(axis=1)[:, None]
        apart -= 0.5 * (two**2).sum(axis=1)[None, :]
        np.minimum(apart, 0, out=apart)
        np.exp(apart, out=apart)
        apart *= self.feature
        return apart

    def variance(self, points: Inputs) -> Floats:
        """(n,) of the points themselves, without noise."""
        own = np.diag(self.own)[points.codes + points.grid.first].sum(axis=1)
        return np.asarray(own + self.joint + (self.feature if len(self.lengths) else 0.0))


def _as(values: Floats, dtype: Precision) -> Floats:
    return cast(Floats, values.astype(dtype))


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A posterior; `mean` of the prior is 0.

    Made by `GaussianProcess.given`. points pending: known to be evaluated, with what outcome is
    not: they take away variance and leave the mean.
    """

    kernel: Kernel
    inputs: Inputs
    root: Floats
    weights: Floats

    @classmethod
    def given(
        cls, kernel: Kernel, inputs: Inputs, values: Floats, pending: Inputs | None = None
    ) -> GaussianProcess:
        """values: (n,) observed with the kernel's noise."""
        if pending is not None and len(pending):
            guess = cls.given(kernel, inputs, values).predict(pending)[0]
            values = np.concatenate([values, guess])
            inputs = Inputs(
                inputs.grid,
                np.concatenate([inputs.codes, pending.codes]),
                np.concatenate([inputs.features, pending.features]),
            )
        covariance = kernel.between(inputs, inputs)
        covariance[np.diag_indices_from(covariance)] += kernel.noise + _JITTER
        root = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        weights = cho_solve((root, True), values, check_finite=False)
        return cls(kernel, inputs, root, weights)

    def predict(self, points: Inputs, dtype: Precision = np.float64) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the values at points, without noise; (k,) each."""
        across = self.kernel.between(points, self.inputs, dtype)
        mean = across @ self.weights.astype(dtype)
        solved = solve_triangular(
            self.root.astype(dtype), across.T, lower=True, overwrite_b=True, check_finite=False
        )
        left = self.kernel.variance(points) - np.einsum("ij,ij->j", solved, solved)
        return mean.astype(np.float64), np.sqrt(np.maximum(left, 1e-10))


def fit(inputs: Inputs, values: Floats, *, noise: float | None = None) -> Kernel:
    """The kernel whose hyperparameters explain values best, given their priors.

    values: (n,) about standardised. noise: variance of one of them, where it is known; else it
    is learnt.
    """
    grid = inputs.grid
    parameters, features = len(grid.sizes), inputs.features.shape[1]
    mean, spread = _priors(parameters, features)
    if noise is not None:
        mean[-1], spread[-1] = np.log(max(noise, _LEAST_NOISE)), _CERTAIN
    loss = _loss(inputs, values, mean, spread)
    found = minimize(
        loss,
        mean.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[
            (low, high) for low, high in zip(mean - 4 * spread, mean + 4 * spread, strict=True)
        ],
        options={"maxiter": _STEPS},
    )
    flat = torch.from_numpy(np.asarray(found.x, dtype=np.float64))
    return _kernel(Hyperparameters.of(flat, parameters, features), _Choices.of(grid))


@dataclass(frozen=True, eq=False)
class _Choices:
    """The grid's choices as tensors. differences: (3, c, c). same: (c, c) of one parameter."""

    differences: Tensor
    same: Tensor
    owner: Tensor

    @classmethod
    def of(cls, grid: Grid) -> _Choices:
        owner = torch.from_numpy(grid.owner)
        return cls(torch.from_numpy(grid.differences), (owner[:, None] == owner).double(), owner)

    def apart(self, by: Hyperparameters) -> Tensor:
        return (by.difference.exp()[:, None, None] * self.differences).sum(dim=0)

    def own(self, by: Hyperparameters) -> Tensor:
        return self.same * (by.weight.exp()[self.owner] * (-self.apart(by)).exp())

    def all(self, by: Hyperparameters) -> Tensor:
        return by.reach.exp()[self.owner] * self.apart(by)


def _kernel(by: Hyperparameters, choices: _Choices) -> Kernel:
    return Kernel(
        own=choices.own(by).numpy(),
        all=choices.all(by).numpy(),
        lengths=by.length.exp().numpy(),
        joint=float(by.joint.exp()),
        feature=float(by.feature.exp()),
        noise=float(by.noise.exp()),
    )


def _loss(
    inputs: Inputs, values: Floats, mean: Tensor, spread: Tensor
) -> Callable[[Floats], tuple[float, Floats]]:
    """Minus the log posterior of hyperparameters, and its gradient."""
    grid = inputs.grid
    choices = _Choices.of(grid)
    rows = torch.from_numpy(inputs.one_hot(np.float64))
    features = torch.from_numpy(inputs.features)
    target = torch.from_numpy(values)
    parameters, number = len(grid.sizes), features.shape[1]
    eye = torch.eye(len(target), dtype=torch.float64)

    def loss(flat: Floats) -> tuple[float, Floats]:
        at = torch.from_numpy(flat).requires_grad_(True)
        by = Hyperparameters.of(at, parameters, number)
        covariance = rows @ choices.own(by) @ rows.T
        covariance = covariance + by.joint.exp() * (-(rows @ choices.all(by) @ rows.T)).exp()
        if number:
            scaled = features / by.length.exp()
            squares = (scaled**2).sum(dim=1)
            near = scaled @ scaled.T - 0.5 * (squares[:, None] + squares)
            covariance = covariance + by.feature.exp() * near.exp()
        covariance = covariance + (by.noise.exp() + 1e-6) * eye
        root, wrong = torch.linalg.cholesky_ex(covariance)
        if wrong:
            return 1e10, np.zeros_like(flat)
        solved = torch.linalg.solve_triangular(root, target[:, None], upper=False)
        value = 0.5 * (solved**2).sum() + root.diagonal().log().sum()
        value = value + 0.5 * (((at - mean) / spread) ** 2).sum()
        (gradient,) = torch.autograd.grad(value, at)
        return float(value.detach()), gradient.numpy()

    return loss
