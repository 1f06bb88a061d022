"""The belief about all objectives together, and what a point is expected to add to the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.belief.grid import Floats
from nas.belief.points import Points
from nas.strategy.samplers.pareto.expected_improvement import (
    expected_improvement,
    partition_non_dominated,
)
from nas.strategy.samplers.pareto.objective_model import BelievedObjective, ObjectiveModel
from nas.study.front.pareto import non_dominated
from nas.study.prospect import Prospect

__all__ = ["Posterior"]

_WORLDS, _RECENT = 500, 200
_ENDS = 0.05, 0.95


class Posterior:
    """The belief about all objectives, and the front in the light of it.

    The front is of believed values: of what was observed with noise, the luckiest would be on
    it, and what is pending counts as it is expected to turn out.

    most, least: (m,) costs; nothing is gained above the one or below the other.
    inputs: the n points that were evaluated; `front` (n,) says which are believed to be on it.
    pending: points that are being evaluated.
    """

    def __init__(
        self,
        objectives: Sequence[ObjectiveModel],
        most: Floats,
        least: Floats,
        inputs: Points,
        pending: Points,
    ) -> None:
        self._objectives = objectives
        self._believed = self._expected(inputs)
        self.front: NDArray[np.bool_] = non_dominated(self._believed)
        # Of very many the latest, and the front, of which the best is one.
        self._evaluated = inputs[self.front | (np.arange(len(inputs)) >= len(inputs) - _RECENT)]
        believed = self._believed
        if len(pending):
            believed = np.concatenate([believed, self._expected(pending)])
        levels = [
            [item.level(cost) for item, cost in zip(objectives, costs, strict=True)]
            for costs in (most.tolist(), least.tolist())
        ]
        self._boxes = partition_non_dominated(believed, np.array(levels[0]), np.array(levels[1]))

    def _expected(self, points: Points) -> Floats:
        return np.stack([item.expected(points) for item in self._objectives], axis=1)

    def gain(self, points: Points, *, rough: bool = False) -> Floats:
        """Return the expected hypervolume improvement (k,) by each of k points.

        rough: by fewer observations and in single precision, for screening.
        """
        return expected_improvement(
            [item.marginal(points, rough) for item in self._objectives], self._boxes
        )

    def luck(self, noise: Mapping[int, float]) -> float:
        """Return the gain that evaluating a member of the front again would show by noise alone.

        It is expected, on average over the front.

        noise: objective, by number -> standard deviation of one evaluation, where it is known.
        """
        members = self._believed[self.front]
        marginals = [
            item.marginal_of_repeat(members[:, number], noise.get(number))
            for number, item in enumerate(self._objectives)
        ]
        return float(expected_improvement(marginals, self._boxes).mean())

    def prospect(self, points: Points, seed: int) -> Prospect | None:
        """Return what the best network gains, and what the best of all may be better by.

        points: that may be better than those that were evaluated.
        Returns None where no objective is a belief about a loss.
        """
        for item in self._objectives:
            if isinstance(item, BelievedObjective):
                drawn = item.belief.draws((self._evaluated + points).codes, _WORLDS, seed)
                means = drawn.mean(axis=0)
                best = int(means[: len(self._evaluated)].argmax())
                low, high = np.quantile(drawn[:, best], _ENDS)
                return Prospect(
                    gain=float(means[best]),
                    low=float(low),
                    high=float(high),
                    regret=float(drawn.max(axis=1).mean() - means.max()),
                    per_loss=float(item.belief.metric_per_loss),
                )
        return None

    def uncertainty(self, points: Points) -> Floats:
        """Return how little is known of points (k,), for when no gain is expected anywhere."""
        return np.asarray(sum(item.uncertainty(points) for item in self._objectives))
