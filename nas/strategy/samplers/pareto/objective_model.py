"""The belief about one objective at any point: known, or learnt from observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.belief.belief import Belief
from nas.belief.gaussian import Gaussian, Hyperparameters
from nas.belief.grid import Codes, Floats
from nas.belief.points import Points
from nas.belief.relation import Relation
from nas.strategy.samplers.pareto.expected_improvement import (
    CertainCost,
    CostMarginal,
    NormalCost,
)
from nas.strategy.samplers.pareto.knowledge import Feature
from nas.strategy.samplers.pareto.scale import Scale
from nas.study.front.pareto import non_dominated

__all__ = ["BelievedObjective", "KnownObjective", "ModelledObjective", "ObjectiveModel"]

_SCREENED = 128  # points that a pool is screened with, at most


@dataclass(frozen=True, eq=False)
class KnownObjective:
    """An objective that is known of every point."""

    feature: Feature

    def marginal(self, points: Points, rough: bool = False) -> CertainCost:
        """Return the belief at points; there is no rougher one."""
        return CertainCost(self.expected(points))

    def expected(self, points: Points) -> Floats:
        """Return costs (k,)."""
        return np.asarray(self.feature(points.grid.columns(points.codes)), dtype=np.float64)

    def uncertainty(self, points: Points) -> Floats:
        """Return 0 for each point, (k,)."""
        return np.zeros(len(points))

    def level(self, cost: float) -> float:
        """Return where a cost lies on the scale of `expected`."""
        return cost

    def marginal_of_repeat(self, expected: Floats, noise: float | None) -> CostMarginal:
        """Return what one more evaluation of points would show: the same again."""
        return CertainCost(expected)


@dataclass(frozen=True, eq=False)
class ModelledObjective:
    """An objective that is learnt of one value for each point, on its own scale.

    On the plain one, networks that are fast and good for nothing would take up most of what
    there is to dominate.

    noise: variance of one value, on the scale.
    process: conditioned on all observations.
    rough: conditioned on some of them, to screen many points.
    """

    scale: Scale
    noise: float
    process: Gaussian
    rough: Gaussian

    @classmethod
    def learn(
        cls,
        hyperparameters: Hyperparameters,
        points: Points,
        costs: Floats,
        number: int,
        pending: Points,
    ) -> ModelledObjective:
        """Learn an objective from observations.

        points: the n points that were evaluated.
        costs: (n, m) of all objectives, of which this is `number`.
        pending: points that are being evaluated.
        """
        scale = Scale.of(costs[:, number])
        values = -scale.apply(costs[:, number])
        process = rough = _condition(hyperparameters, points, values, pending)
        if len(points) > _SCREENED:
            rows = _spread_out(costs, _SCREENED)
            rough = _condition(hyperparameters, points[rows], values[rows], pending)
        noise = float(Relation.of_one_source(1).errors(hyperparameters.relation[0])[0, 0])
        return cls(scale, noise, process, rough)

    def marginal(self, points: Points, rough: bool = False) -> NormalCost:
        """Return the belief at points.

        rough: by fewer observations and in single precision, for screening.
        """
        process = self.rough if rough else self.process
        mean, deviation = process.predict(points, np.float32 if rough else np.float64)
        return NormalCost(-mean, deviation)

    def expected(self, points: Points) -> Floats:
        """Return expected costs (k,), on the scale."""
        return -self.process.predict(points)[0]

    def uncertainty(self, points: Points) -> Floats:
        """Return the standard deviation of the belief, (k,), on the scale."""
        return self.process.predict(points)[1]

    def level(self, cost: float) -> float:
        """Return where a cost lies on the scale of `expected`."""
        return float(self.scale.apply(np.array([cost]))[0])

    def marginal_of_repeat(self, expected: Floats, noise: float | None) -> CostMarginal:
        """Return what one more evaluation of points would show.

        expected: (k,) on the scale.
        noise: standard deviation of a cost; None: what the model takes for it.
        """
        deviation = np.sqrt(self.noise) if noise is None else self.scale.deviation(noise)
        return NormalCost(expected, np.full(len(expected), deviation))


@dataclass(frozen=True, eq=False)
class BelievedObjective:
    """A loss by full training, as the belief has it from every training there was.

    plain: the loss, on the scale of what was observed, that a gain of 0 stands for.
    """

    belief: Belief
    plain: float

    @classmethod
    def of(cls, belief: Belief, points: Points, losses: Floats) -> BelievedObjective:
        """Bring losses (n,) that were observed at points onto the belief's scale."""
        return cls(belief, float(np.median(losses + belief.gain(points.codes).mean)))

    def marginal(self, points: Points, rough: bool = False) -> NormalCost:
        """Return the belief at points; rough: in single precision."""
        gain = self.belief.gain(points.codes, rough=rough)
        return NormalCost(-gain.mean / self.belief.unit, gain.deviation / self.belief.unit)

    def expected(self, points: Points) -> Floats:
        """Return expected losses (k,), in units of the belief and about the plain network."""
        return -self.belief.gain(points.codes).mean / self.belief.unit

    def uncertainty(self, points: Points) -> Floats:
        """Return the standard deviation of the belief, (k,)."""
        return self.belief.gain(points.codes).deviation / self.belief.unit

    def level(self, cost: float) -> float:
        """Return where a loss lies on the scale of `expected`."""
        return (cost - self.plain) / self.belief.unit

    def marginal_of_repeat(self, expected: Floats, noise: float | None) -> CostMarginal:
        """Return what one more training of points would show.

        noise: standard deviation of a loss; None: nothing is known of it.
        """
        deviation = (noise or 0.0) / self.belief.unit
        return NormalCost(expected, np.full(len(expected), deviation))


ObjectiveModel = KnownObjective | ModelledObjective | BelievedObjective


def _condition(
    hyperparameters: Hyperparameters, points: Points, values: Floats, pending: Points
) -> Gaussian:
    """Return the belief from values (n,) at points.

    pending: count as they are expected to turn out: they take away variance and leave the mean.
    """
    model = Gaussian(hyperparameters, points, Relation.of_one_source(len(points)), values)
    if not len(pending):
        return model
    values = np.concatenate([values, model.predict(pending)[0]])
    return Gaussian(hyperparameters, points + pending, Relation.of_one_source(len(values)), values)


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
