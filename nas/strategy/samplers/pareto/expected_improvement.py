"""Expected hypervolume improvement, exact for objectives that are independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from nas.belief.grid import Floats
from nas.study.front.pareto import non_dominated

__all__ = [
    "CertainCost",
    "CostMarginal",
    "NormalCost",
    "expected_improvement",
    "partition_non_dominated",
]

_LEAST = 1e-12
_DENSITY = 1 / np.sqrt(2 * np.pi)


def partition_non_dominated(
    front: Floats, reference: Floats, floor: Floats | None = None
) -> Floats:
    """Divide into boxes what no point of a front dominates and that dominates the reference.

    front: (n, m) costs, minimised; those that do not dominate the reference count for nothing.
    reference: (m,).
    floor: (m,) below which nothing is gained; None: there is no such bound.
    Returns (b, 2, m): lower (-inf where open) and upper corners.
    """
    front = front[(front < reference).all(axis=1)]
    front = front[non_dominated(front)]
    boxes = np.array(_boxes(front, reference)).reshape(-1, 2, len(reference))
    if floor is not None:
        boxes[:, 0] = np.maximum(boxes[:, 0], floor)
        boxes = boxes[(boxes[:, 0] < boxes[:, 1]).all(axis=1)]
    return boxes


def _boxes(front: Floats, reference: Floats) -> list[tuple[list[float], list[float]]]:
    """Cut slabs along the last objective, and in each one box what lies below it of the front."""
    edges = [-np.inf, *np.unique(front[:, -1]).tolist(), float(reference[-1])]
    if len(reference) == 1:
        return [([-np.inf], edges[1:2])]
    boxes = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        below = front[front[:, -1] <= low][:, :-1]
        for lower, upper in _boxes(below, reference[:-1]):
            boxes.append(([*lower, low], [*upper, high]))
    return boxes


class CostMarginal(Protocol):
    """The belief about one cost at n points."""

    def improvement(self, level: float) -> Floats:
        """Return E[(level - Y)+], (n,): how far the cost is expected to stay below a level.

        level: finite.
        """


@dataclass(frozen=True, eq=False)
class CertainCost:
    """A cost that is known.

    values: (n,).
    """

    values: Floats

    def improvement(self, level: float) -> Floats:
        """Return how far the cost stays below a level, (n,)."""
        return np.maximum(level - self.values, 0)


@dataclass(frozen=True, eq=False)
class NormalCost:
    """A cost with a normal distribution.

    mean, deviation: (n,).
    """

    mean: Floats
    deviation: Floats

    def improvement(self, level: float) -> Floats:
        """Return how far the cost is expected to stay below a level, (n,)."""
        gap, spread = level - self.mean, np.maximum(self.deviation, _LEAST)
        z = gap / spread
        return np.asarray(gap * ndtr(z) + spread * np.exp(-0.5 * z * z) * _DENSITY)


def expected_improvement(marginals: Sequence[CostMarginal], boxes: Floats) -> Floats:
    """Return how much hypervolume each of n points is expected to add, (n,).

    In a box it is a product over objectives of E[(u - max(l, Y))+] = E[(u - Y)+] - E[(l - Y)+].

    marginals: of each objective, independent given a point.
    boxes: (b, 2, m) as `partition_non_dominated` makes them of the present front.
    Source: arXiv:2006.05078, section 3.
    """
    # Boxes share their edges, so most levels come up many times.
    computed: dict[tuple[int, float], Floats] = {}

    def improvement(column: int, level: float) -> Floats | float:
        if level == -np.inf:
            return 0.0
        if (column, level) not in computed:
            computed[column, level] = marginals[column].improvement(level)
        return computed[column, level]

    total: Floats | float = np.zeros_like(marginals[0].improvement(0.0))
    for lower, upper in boxes.tolist():
        gain: Floats | float = 1.0
        for column in range(len(marginals)):
            gain = gain * (improvement(column, upper[column]) - improvement(column, lower[column]))
        total = total + gain
    return np.asarray(total, dtype=np.float64)
