"""The belief's Gaussian model on GPyTorch, written from its formulas, pair by pair of rows.

The formulas are those of `nas/belief/kernel.py` and `relation.py`. Full training is one more row of
the model, on the curve at its end, without noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nas.belief.grid import Floats
from nas.belief.kernel import KernelShape
from nas.belief.points import Points
from nas.belief.relation import Relation

try:
    import gpytorch
    from botorch.fit import fit_gpytorch_mll
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.distributions import MultivariateNormal
    from gpytorch.kernels import Kernel, RBFKernel
    from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
    from gpytorch.means import Mean
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.models import ExactGP
    from gpytorch.priors import NormalPrior
except ImportError as error:
    raise SystemExit(f"{error}: pip install botorch") from error

__all__ = ["Twin", "exactly"]

JITTER, LEVEL = 1e-8, 100.0  # as the belief has them


@contextmanager
def exactly() -> Iterator[None]:
    """Have GPyTorch compute by Cholesky's decomposition, with no more jitter than ours."""
    settings = gpytorch.settings
    with (
        settings.fast_computations(False, False, False),
        settings.max_cholesky_size(10_000),
        settings.min_fixed_noise(double_value=JITTER),
        settings.cholesky_jitter(double_value=1e-12),
    ):
        yield


@dataclass(frozen=True, eq=False)
class Columns:
    """Where in a row of numbers is what: networks as codes, then what relates the row."""

    codes: slice
    features: slice
    terms: slice
    load: int
    share: int
    source: int
    level: int
    noise: int
    training: int
    seed: int
    row: int


class Rows:
    """Rows of evidence, and rows that stand for full trainings, as tensors (n, c)."""

    def __init__(self, points: Points, relation: Relation) -> None:
        d, f, t = (part.shape[1] for part in (points.codes, points.features, points.terms))
        edge = d + f + t
        self.at = Columns(slice(0, d), slice(d, d + f), slice(d + f, edge), *range(edge, edge + 8))
        count = len(relation.share)
        assert (relation.repeats == 1).all()
        self.known = self._joined(
            points,
            [
                relation.share,
                relation.source,
                relation.level,
                relation.noise,
                relation.training,
                relation.seed,
                np.arange(count),
            ],
        )

    def full(self, points: Points) -> torch.Tensor:
        """Return rows at the end of the curve that no level, noise or training is of."""
        nothing = np.full(len(points), -1)
        end = np.ones(len(points))
        return self._joined(points, [end, nothing, nothing, nothing, nothing, nothing, nothing])

    def _joined(self, points: Points, columns: Sequence[Any]) -> torch.Tensor:
        parts = [points.codes, points.features, points.terms, points.load, *columns]
        return torch.from_numpy(np.column_stack(parts).astype(np.float64))


class Parts:
    """Hyperparameters in their order, as the formulas name them."""

    def __init__(self, shape: KernelShape, relation: Relation) -> None:
        groups = int(shape.groups.max()) + 1
        curve, sources = int(relation.has_curve), relation.sources
        number = len(relation.training)
        several = int(len(np.unique(relation.training)) < number)
        pairs = {(s, v) for s, v in zip(relation.seed, relation.level, strict=True)}
        sizes = {
            "weight": len(shape.grid.sizes),
            "reach": len(shape.grid.sizes),
            "difference": 3,
            "joint": 1,
            "length": shape.features,
            "feature": 1,
            "terms": groups,
            "scale": 1,
            "slow": curve,
            "fade": curve,
            "own": curve,
            "near": curve,
            "handicap": curve,
            "slope": sources,
            "bias": sources,
            "noise": len(relation.known),
            "common": several,
            "seed": int(len(pairs) < number),
        }
        self.size = sum(sizes.values())
        assert self.size == shape.size + relation.size
        self._edges = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
        self._sizes = sizes

    def of(self, theta: torch.Tensor, name: str) -> torch.Tensor:
        """Return one part (k,) of hyperparameters (h,)."""
        first = self._edges[name]
        return theta[first : first + self._sizes[name]]


class RowKernel(Kernel):  # type: ignore[misc]
    """The covariance of rows, pair by pair."""

    def __init__(self, at: Columns, parts: Parts, shape: KernelShape, reference: Floats) -> None:
        super().__init__()
        self.at, self.parts = at, parts
        self.groups = torch.from_numpy(shape.groups)
        self.differences = torch.from_numpy(shape.grid.differences)
        self.first = torch.from_numpy(shape.grid.first)
        self.reference = torch.from_numpy(reference)
        self.register_parameter("theta", torch.nn.Parameter(torch.zeros(parts.size).double()))

    def part(self, name: str) -> torch.Tensor:
        """Return a part of the hyperparameters as it stands: all but slopes are logarithms."""
        found: torch.Tensor = self.parts.of(self.theta, name)
        return found

    def forward(
        self, one: torch.Tensor, two: torch.Tensor, diag: bool = False, **_: Any
    ) -> torch.Tensor:
        networks = self._networks(one, two)
        if len(self.reference):
            origin = self.reference
            networks = networks - self._networks(one, origin) - self._networks(origin, two)
            networks = networks + self._networks(origin, origin)
        total = networks * self._rows(one, two) + self._errors(one, two)
        return torch.diagonal(total) if diag else total

    def _networks(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        a, b = (rows[:, self.at.codes].long() + self.first for rows in (one, two))
        apart = torch.einsum("m,mab->ab", self.part("difference").exp(), self.differences)
        by_parameter = apart[a[:, None, :], b[None, :, :]]  # (n, k, d)
        total = (self.part("weight").exp() * torch.exp(-by_parameter)).sum(dim=-1)
        joint = (self.part("reach").exp() * by_parameter).sum(dim=-1)
        total = total + self.part("joint").exp() * torch.exp(-joint)
        if len(self.part("length")):
            near = RBFKernel().double()
            left, right = (
                rows[:, self.at.features] / self.part("length").exp() for rows in (one, two)
            )
            near.initialize(lengthscale=1.0)
            total = total + self.part("feature").exp() * near(left, right).to_dense()
        variances = self.part("terms").exp()[self.groups]
        return total + (one[:, self.at.terms] * variances) @ two[:, self.at.terms].T

    def _rows(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        slopes = torch.cat([self.part("slope"), torch.ones(1).double()])
        alike = torch.ones(1, 1).double()
        shares = one[:, self.at.share][:, None], two[:, self.at.share][None, :]
        if len(self.part("slow")):
            left, right = (torch.exp(-share / self.part("fade").exp()) for share in shares)
            alike = alike + self.part("slow").exp() * left * right
            doublings = (torch.log2(shares[0]) - torch.log2(shares[1])).abs()
            alike = alike + self.part("own").exp() * torch.exp(-doublings / self.part("near").exp())
        sources = one[:, self.at.source].long()[:, None], two[:, self.at.source].long()[None, :]
        total = slopes[sources[0]] * slopes[sources[1]] * alike
        if len(self.part("bias")):
            same = (sources[0] == sources[1]) & (sources[0] >= 0)
            total = total + same * self.part("bias").exp()[sources[0].clamp(min=0)]
        return self.part("scale").exp() * total

    def _errors(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        same = {
            name: (one[:, column][:, None] == two[:, column]) & (one[:, column][:, None] >= 0)
            for name, column in (
                ("level", self.at.level),
                ("training", self.at.training),
                ("seed", self.at.seed),
                ("row", self.at.row),
            )
        }
        deviations = [
            (0.5 * self.part("noise")[rows[:, self.at.noise].long().clamp(min=0)]).exp()
            for rows in (one, two)
        ]
        noise = deviations[0][:, None] * deviations[1][None, :]
        total = LEVEL * same["level"] + same["row"] * noise
        if len(self.part("common")):
            others = same["training"] & ~same["row"]
            total = total + torch.sigmoid(self.part("common")) * others * noise
        if len(self.part("seed")):
            total = total + self.part("seed").exp() * (same["seed"] & same["level"])
        return total


class SlowStart(Mean):  # type: ignore[misc]
    """The mean of rows before any value is known: less, early, for a network full of blocks."""

    def __init__(self, kernel: RowKernel) -> None:
        super().__init__()
        self.kernel = [kernel]  # in a list, so that its hyperparameters are not counted twice

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        (kernel,) = self.kernel
        part = kernel.part
        if not len(part("slow")):
            return torch.zeros(len(rows)).double()
        slopes = torch.cat([part("slope"), torch.ones(1).double()])
        slope = slopes[rows[:, kernel.at.source].long()]
        start = torch.exp(-rows[:, kernel.at.share] / part("fade").exp())
        return -part("handicap").exp() * slope * rows[:, kernel.at.load] * start


class Twin(ExactGP):  # type: ignore[misc]
    """The model on GPyTorch, with hyperparameters `theta` in our order."""

    def __init__(
        self, shape: KernelShape, points: Points, relation: Relation, values: Floats, plain: Points
    ) -> None:
        self.rows = Rows(points, relation)
        noise = torch.full((len(values),), JITTER).double()
        likelihood = FixedNoiseGaussianLikelihood(noise)
        super().__init__(self.rows.known, torch.from_numpy(values), likelihood)
        parts = Parts(shape, relation)
        self.covar_module = RowKernel(
            self.rows.at, parts, shape, self.rows.full(plain).numpy()
        ).double()
        self.mean_module = SlowStart(self.covar_module)
        prior = [
            np.append(one, two) for one, two in zip(shape.prior(), relation.prior(), strict=True)
        ]
        self.usual, self.spread = (torch.from_numpy(each) for each in prior)
        self.covar_module.register_prior("about", NormalPrior(self.usual, self.spread), "theta")

    def forward(self, rows: torch.Tensor) -> MultivariateNormal:
        return MultivariateNormal(self.mean_module(rows), self.covar_module(rows))

    def transform_inputs(self, X: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return the rows as they are: BoTorch asks its models for this."""
        return X

    def put(self, theta: Floats) -> None:
        """Take hyperparameters (h,)."""
        self.train()  # forgets what was predicted with others
        with torch.no_grad():
            self.covar_module.theta.copy_(torch.from_numpy(theta))

    def log_posterior(self) -> tuple[float, float]:
        """Return the log marginal likelihood, and with the priors of hyperparameters."""
        self.train()
        with torch.no_grad():
            likely = self.likelihood(self(self.rows.known)).log_prob(self.train_targets)
            theta = self.covar_module.theta
            prior = NormalPrior(self.usual, self.spread).log_prob(theta).sum()
        return float(likely), float(likely + prior)

    def predict(self, points: Points) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (k,) of full training."""
        self.eval()
        with torch.no_grad():
            found = self(self.rows.full(points))
            return found.mean.numpy(), found.variance.clamp(min=1e-12).sqrt().numpy()

    def fit(self, start: Floats) -> tuple[float, Floats]:
        """Fit hyperparameters by BoTorch; return the log posterior, and where it is."""
        self.train()
        self.put(start)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(self.likelihood, self),
            optimizer=fit_gpytorch_mll_scipy,
            max_attempts=1,
        )
        return self.log_posterior()[1], self.covar_module.theta.detach().numpy().copy()
