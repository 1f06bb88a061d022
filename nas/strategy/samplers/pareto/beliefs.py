"""What is believed of every objective, and what a point is expected to add in the light of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.strategy.samplers.pareto.grid import Codes, Floats
from nas.strategy.samplers.pareto.improvement import (
    Known,
    Marginal,
    Normal,
    boxes,
    expected_improvement,
)
from nas.strategy.samplers.pareto.model import GaussianProcess, Inputs, Kernel
from nas.strategy.samplers.pareto.scale import Scale
from nas.study.front.pareto import non_dominated

__all__ = ["Columns", "Feature", "KnownObjective", "ModelledObjective", "Objective", "Posterior"]

Columns = Mapping[str, Codes]
Feature = Callable[[Columns], Floats]
"""A figure that needs no evaluation, of many points at once: parameter -> (n,) codes of its
choice, to (n,)."""

_SCREENED = 128  # points that a pool is screened with, at most


@dataclass(frozen=True, eq=False)
class KnownObjective:
    """An objective that is known of every point."""

    feature: Feature

    def belief(self, points: Inputs, rough: bool = False) -> Known:
        return Known(self.expected(points))

    def expected(self, points: Inputs) -> Floats:
        """(k,) costs."""
        return np.asarray(self.feature(points.grid.columns(points.codes)), dtype=np.float64)

    def level(self, cost: float) -> float:
        """Where a cost lies on the scale of `expected`."""
        return cost

    def lucky(self, expected: Floats, noise: float | None) -> Marginal:
        """Of one more evaluation of points."""
        return Known(expected)


@dataclass(frozen=True, eq=False)
class ModelledObjective:
    """An objective that is learnt, on its own scale: on the plain one, networks that are fast and
    good for nothing would take up most of what there is to dominate.
    """

    scale: Scale
    process: GaussianProcess
    rough: GaussianProcess

    @classmethod
    def of(
        cls, kernel: Kernel, inputs: Inputs, costs: Floats, number: int, pending: Inputs
    ) -> ModelledObjective:
        """costs: (n, m) of all objectives, of which this is `number`."""
        scale = Scale.of(costs[:, number])
        values = scale.to(costs[:, number])
        process = rough = GaussianProcess.given(kernel, inputs, values, pending)
        if len(inputs) > _SCREENED:
            rows = _spread_out(costs, _SCREENED)
            rough = GaussianProcess.given(kernel, inputs[rows], values[rows], pending)
        return cls(scale, process, rough)

    def belief(self, points: Inputs, rough: bool = False) -> Normal:
        process = self.rough if rough else self.process
        return Normal(*process.predict(points, np.float32 if rough else np.float64))

    def expected(self, points: Inputs) -> Floats:
        """(k,) on the scale."""
        return self.process.predict(points)[0]

    def level(self, cost: float) -> float:
        """Where a cost lies on the scale of `expected`."""
        return float(self.scale.to(np.array([cost]))[0])

    def lucky(self, expected: Floats, noise: float | None) -> Marginal:
        """Of one more evaluation of points. noise: standard deviation of a cost; None: what the
        model takes for it.
        """
        variance = self.process.kernel.noise
        deviation = np.sqrt(variance) if noise is None else self.scale.deviation(noise)
        return Normal(expected, np.full(len(expected), deviation))


Objective = KnownObjective | ModelledObjective


class Posterior:
    """What is believed of all objectives, and the front in the light of it.

    The front is of believed values: of what was observed with noise, the luckiest would be on
    it, and what is pending counts as it is expected to turn out.

    most, least: (m,) costs; what is above the one or below the other is nothing gained.
    front: (n,) which of `inputs`, the evaluated points, are believed to be on it.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        most: Floats,
        least: Floats,
        inputs: Inputs,
        pending: Inputs,
    ) -> None:
        self._objectives = objectives
        self._believed = self._expected(inputs)
        self.front: NDArray[np.bool_] = non_dominated(self._believed)
        believed = self._believed
        if len(pending):
            believed = np.concatenate([believed, self._expected(pending)])
        levels = [
            [item.level(cost) for item, cost in zip(objectives, costs, strict=True)]
            for costs in (most.tolist(), least.tolist())
        ]
        self._boxes = boxes(believed, np.array(levels[0]), np.array(levels[1]))

    def _expected(self, points: Inputs) -> Floats:
        return np.stack([item.expected(points) for item in self._objectives], axis=1)

    def gain(self, points: Inputs, *, rough: bool = False) -> Floats:
        """(k,) expected hypervolume improvement."""
        return expected_improvement(
            [item.belief(points, rough) for item in self._objectives], self._boxes
        )

    def luck(self, noise: Mapping[int, float]) -> float:
        """The gain that one more evaluation of a member of the front is expected to show by
        noise alone, on average over the front. noise: of objectives, by number.
        """
        members = self._believed[self.front]
        beliefs = [
            item.lucky(members[:, number], noise.get(number))
            for number, item in enumerate(self._objectives)
        ]
        return float(expected_improvement(beliefs, self._boxes).mean())

    def uncertainty(self, points: Inputs) -> Floats:
        """(k,) how little is known; where no improvement is expected anywhere."""
        learnt = [item for item in self._objectives if isinstance(item, ModelledObjective)]
        return np.asarray(sum(item.process.predict(points)[1] for item in learnt))


def _spread_out(costs: Floats, count: int) -> Codes:
    """The rows nearest to the front, layer by layer, half of the count; the others evenly."""
    left, found = np.arange(len(costs)), np.zeros(0, dtype=np.int64)
    while len(found) < count // 2:
        layer = non_dominated(costs[left])
        found, left = np.concatenate([found, left[layer]]), left[~layer]
    found = found[: count // 2]
    left = np.setdiff1d(np.arange(len(costs)), found)
    even = left[np.linspace(0, len(left) - 1, count - len(found)).astype(np.int64)]
    return np.sort(np.concatenate([found, even]))
