"""The belief about one objective at any point: known, or learnt from observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.strategy.samplers.pareto.expected_improvement import (
    CertainCost,
    CostMarginal,
    NormalCost,
)
from nas.strategy.samplers.pareto.gaussian_process import GaussianProcess
from nas.belief.grid import Codes, Floats
from nas.strategy.samplers.pareto.kernel import Inputs, Kernel
from nas.strategy.samplers.pareto.knowledge import Feature
from nas.strategy.samplers.pareto.scale import Scale
from nas.study.front.pareto import non_dominated

__all__ = ["KnownObjective", "ModelledObjective", "ObjectiveModel"]

_SCREENED = 128  # points that a pool is screened with, at most


@dataclass(frozen=True, eq=False)
class KnownObjective:
    """An objective that is known of every point."""

    feature: Feature

    def marginal(self, points: Inputs, rough: bool = False) -> CertainCost:
        """Return the belief at points; there is no rougher one."""
        return CertainCost(self.expected(points))

    def expected(self, points: Inputs) -> Floats:
        """Return costs (k,)."""
        return np.asarray(self.feature(points.grid.columns(points.codes)), dtype=np.float64)

    def level(self, cost: float) -> float:
        """Return where a cost lies on the scale of `expected`."""
        return cost

    def marginal_of_repeat(self, expected: Floats, noise: float | None) -> CostMarginal:
        """Return what one more evaluation of points would show: the same again."""
        return CertainCost(expected)


@dataclass(frozen=True, eq=False)
class ModelledObjective:
    """An objective that is learnt, on its own scale.

    On the plain one, networks that are fast and good for nothing would take up most of what
    there is to dominate.

    process: conditioned on all observations.
    rough: conditioned on some of them, to screen many points.
    """

    scale: Scale
    process: GaussianProcess
    rough: GaussianProcess

    @classmethod
    def learn(
        cls, kernel: Kernel, inputs: Inputs, costs: Floats, number: int, pending: Inputs
    ) -> ModelledObjective:
        """Learn an objective from observations.

        inputs: the n points that were evaluated.
        costs: (n, m) of all objectives, of which this is `number`.
        pending: points that are being evaluated.
        """
        scale = Scale.of(costs[:, number])
        values = scale.apply(costs[:, number])
        process = rough = GaussianProcess.condition(kernel, inputs, values, pending)
        if len(inputs) > _SCREENED:
            rows = _spread_out(costs, _SCREENED)
            rough = GaussianProcess.condition(kernel, inputs[rows], values[rows], pending)
        return cls(scale, process, rough)

    def marginal(self, points: Inputs, rough: bool = False) -> NormalCost:
        """Return the belief at points.

        rough: by fewer observations and in single precision, for screening.
        """
        process = self.rough if rough else self.process
        return NormalCost(*process.predict(points, np.float32 if rough else np.float64))

    def expected(self, points: Inputs) -> Floats:
        """Return expected costs (k,), on the scale."""
        return self.process.predict(points)[0]

    def level(self, cost: float) -> float:
        """Return where a cost lies on the scale of `expected`."""
        return float(self.scale.apply(np.array([cost]))[0])

    def marginal_of_repeat(self, expected: Floats, noise: float | None) -> CostMarginal:
        """Return what one more evaluation of points would show.

        expected: (k,) on the scale.
        noise: standard deviation of a cost; None: what the model takes for it.
        """
        variance = self.process.kernel.noise
        deviation = np.sqrt(variance) if noise is None else self.scale.deviation(noise)
        return NormalCost(expected, np.full(len(expected), deviation))


ObjectiveModel = KnownObjective | ModelledObjective


def _spread_out(costs: Floats, count: int) -> Codes:
    """Return the rows nearest to the front, layer by layer, half of the count; the others evenly.

    costs: (n, m), minimised.
    """
    left, near = np.arange(len(costs)), np.zeros(0, dtype=np.int64)
    while len(near) < count // 2:
        layer = non_dominated(costs[left])
        near, left = np.concatenate([near, left[layer]]), left[~layer]
    near = near[: count // 2]
    left = np.setdiff1d(np.arange(len(costs)), near)
    even = left[np.linspace(0, len(left) - 1, count - len(near)).astype(np.int64)]
    return np.sort(np.concatenate([near, even]))
