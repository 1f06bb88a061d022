"""Expected hypervolume improvement, exactly, for objectives independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from nas.strategy.samplers.pareto.grid import Floats
from nas.study.front.pareto import non_dominated

__all__ = ["Known", "Marginal", "Normal", "boxes", "expected_improvement"]

_LEAST = 1e-12
_DENSITY = 1 / np.sqrt(2 * np.pi)


def boxes(front: Floats, reference: Floats, floor: Floats | None = None) -> Floats:
    """What no point of a front dominates and that dominates the reference point, in boxes.

    front: (n, m) costs, minimised; those that do not dominate the reference count for nothing.
    reference: (m,). floor: (m,) below which nothing is gained.
    Returns (b, 2, m): lower (-inf where open) and upper corners.
    """
    front = front[(front < reference).all(axis=1)]
    front = front[non_dominated(front)]
    found = np.array(_boxes(front, reference)).reshape(-1, 2, len(reference))
    if floor is not None:
        found[:, 0] = np.maximum(found[:, 0], floor)
        found = found[(found[:, 0] < found[:, 1]).all(axis=1)]
    return found


def _boxes(front: Floats, reference: Floats) -> list[tuple[list[float], list[float]]]:
    """Slab by slab along the last objective: in each, those of the front that lie below it."""
    edges = [-np.inf, *np.unique(front[:, -1]).tolist(), float(reference[-1])]
    if len(reference) == 1:
        return [([-np.inf], edges[1:2])]
    found = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        below = front[front[:, -1] <= low][:, :-1]
        for lower, upper in _boxes(below, reference[:-1]):
            found.append(([*lower, low], [*upper, high]))
    return found


class Marginal(Protocol):
    """What is believed of one objective at n points."""

    def below(self, level: float) -> Floats:
        """E[(level - Y)+], (n,): how far the cost is expected to stay below a finite level."""


@dataclass(frozen=True, eq=False)
class Known:
    """values: (n,)."""

    values: Floats

    def below(self, level: float) -> Floats:
        """As in Belief."""
        return np.maximum(level - self.values, 0)


@dataclass(frozen=True, eq=False)
class Normal:
    """mean, deviation: (n,)."""

    mean: Floats
    deviation: Floats

    def below(self, level: float) -> Floats:
        """As in Belief."""
        gap, spread = level - self.mean, np.maximum(self.deviation, _LEAST)
        z = gap / spread
        return np.asarray(gap * ndtr(z) + spread * np.exp(-0.5 * z * z) * _DENSITY)


def expected_improvement(beliefs: Sequence[Marginal], where: Floats) -> Floats:
    """How much hypervolume each of n points is expected to add, (n,).

    beliefs: of each objective, independent given a point. where: `boxes` of the present front.
    In a box it is a product over objectives of E[(u - max(l, Y))+] = E[(u - Y)+] - E[(l - Y)+]
    (arXiv:2006.05078, section 3).
    """
    known: dict[tuple[int, float], Floats] = {}

    def below(column: int, level: float) -> Floats | float:
        if level == -np.inf:
            return 0.0
        if (column, level) not in known:
            known[column, level] = beliefs[column].below(level)
        return known[column, level]

    total: Floats | float = np.zeros_like(beliefs[0].below(0.0))
    for lower, upper in where.tolist():
        gain: Floats | float = 1.0
        for column in range(len(beliefs)):
            gain = gain * (below(column, upper[column]) - below(column, lower[column]))
        total = total + gain
    return np.asarray(total, dtype=np.float64)
