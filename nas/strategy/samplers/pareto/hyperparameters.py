"""The hyperparameters of the kernel, at the maximum of their posterior.

How long a fit takes, with the screening of a pool: benchmarks/search/ask_speed.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from nas.belief.grid import Floats, Grid
from nas.strategy.samplers.pareto.kernel import Inputs, Kernel

__all__ = ["fit_kernel"]

_STEPS = 40
_LEAST_NOISE = 1e-6
_CERTAIN = 0.1  # deviation of the logarithm of what is known


def fit_kernel(inputs: Inputs, values: Floats, *, noise: float | None = None) -> Kernel:
    """Return the kernel whose hyperparameters explain values best, given their priors.

    inputs: the n points.
    values: (n,) about standardised.
    noise: variance of one of them; None: it is learnt.
    """
    grid = inputs.grid
    parameters, features = len(grid.sizes), inputs.features.shape[1]
    mean, spread = _priors(parameters, features)
    if noise is not None:
        # Repeats know it far better than the values do; a narrow prior keeps it nearly there.
        mean[-1], spread[-1] = np.log(max(noise, _LEAST_NOISE)), _CERTAIN
    loss = _loss(inputs, values, mean, spread)
    # One start, from the priors' means: the same points give the same kernel.
    optimum = minimize(
        loss,
        mean.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[
            (low, high) for low, high in zip(mean - 4 * spread, mean + 4 * spread, strict=True)
        ],
        options={"maxiter": _STEPS},
    )
    flat = torch.from_numpy(np.asarray(optimum.x, dtype=np.float64))
    return _kernel(Hyperparameters.split(flat, parameters, features), _Choices.read(grid))


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """The kernel's hyperparameters, on logarithmic scales, with normal priors there.

    weight: (d,) variance of each parameter's own kernel.
    reach: (d,) how fast the kernel of all parameters falls.
    difference: (3,) how much kind, presence and scale count in both.
    joint: (1,) variance of the kernel of all parameters.
    length: (f,) length scales of the features.
    feature: (1,) variance of the kernel over features.
    noise: (1,) variance of one observation.
    """

    weight: Tensor
    reach: Tensor
    difference: Tensor
    joint: Tensor
    length: Tensor
    feature: Tensor
    noise: Tensor

    @classmethod
    def split(cls, flat: Tensor, parameters: int, features: int) -> Hyperparameters:
        """Name the parts of one vector."""
        sizes = [parameters, parameters, 3, 1, features, 1, 1]
        return cls(*torch.split(flat, sizes))


def _priors(parameters: int, features: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each: half the variance is in the sum over parameters.

    They stand in the order of `Hyperparameters`.
    """
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
class _Choices:
    """The grid's choices as tensors.

    differences: (3, c, c) as of `Grid`.
    same: (c, c) 1 where two choices are of one parameter, else 0.
    owner: (c,) number of the parameter.
    """

    differences: Tensor
    same: Tensor
    owner: Tensor

    @classmethod
    def read(cls, grid: Grid) -> _Choices:
        """Read the choices of a grid."""
        owner = torch.from_numpy(grid.owner)
        return cls(torch.from_numpy(grid.differences), (owner[:, None] == owner).double(), owner)

    def distances(self, by: Hyperparameters) -> Tensor:
        """Return (c, c) how different two choices are."""
        return (by.difference.exp()[:, None, None] * self.differences).sum(dim=0)

    def own(self, by: Hyperparameters) -> Tensor:
        """Return (c, c) `Kernel.own`."""
        return self.same * (by.weight.exp()[self.owner] * (-self.distances(by)).exp())

    def distance(self, by: Hyperparameters) -> Tensor:
        """Return (c, c) `Kernel.distance`."""
        return by.reach.exp()[self.owner] * self.distances(by)


def _kernel(by: Hyperparameters, choices: _Choices) -> Kernel:
    return Kernel(
        own=choices.own(by).numpy(),
        distance=choices.distance(by).numpy(),
        lengths=by.length.exp().numpy(),
        joint=float(by.joint.exp()),
        feature=float(by.feature.exp()),
        noise=float(by.noise.exp()),
    )


def _loss(
    inputs: Inputs, values: Floats, mean: Tensor, spread: Tensor
) -> Callable[[Floats], tuple[float, Floats]]:
    """Return a function of flat hyperparameters: minus their log posterior, and its gradient.

    mean, spread: of the normal priors.
    """
    grid = inputs.grid
    choices = _Choices.read(grid)
    rows = torch.from_numpy(inputs.one_hot(np.float64))
    features = torch.from_numpy(inputs.features)
    target = torch.from_numpy(values)
    parameters, number = len(grid.sizes), features.shape[1]
    eye = torch.eye(len(target), dtype=torch.float64)

    def loss(flat: Floats) -> tuple[float, Floats]:
        at = torch.from_numpy(flat).requires_grad_(True)
        by = Hyperparameters.split(at, parameters, number)
        # As `Kernel.covariance`, in a form that can be differentiated.
        covariance = rows @ choices.own(by) @ rows.T
        covariance = covariance + by.joint.exp() * (-(rows @ choices.distance(by) @ rows.T)).exp()
        if number:
            scaled = features / by.length.exp()
            squares = (scaled**2).sum(dim=1)
            near = scaled @ scaled.T - 0.5 * (squares[:, None] + squares)
            covariance = covariance + by.feature.exp() * near.exp()
        covariance = covariance + (by.noise.exp() + 1e-6) * eye
        root, wrong = torch.linalg.cholesky_ex(covariance)
        if wrong:
            # Not positive definite by rounding: the line search turns back from a wall.
            return 1e10, np.zeros_like(flat)
        solved = torch.linalg.solve_triangular(root, target[:, None], upper=False)
        value = 0.5 * (solved**2).sum() + root.diagonal().log().sum()
        value = value + 0.5 * (((at - mean) / spread) ** 2).sum()
        (gradient,) = torch.autograd.grad(value, at)
        return float(value.detach()), gradient.numpy()

    return loss
