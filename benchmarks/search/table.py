"""A space of networks with the accuracy and the cost of each: what a sampler may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Choices = tuple[str, ...] | tuple[int, ...]
Figures = Callable[[Whole], Floats]


MARGIN = 0.1  # of the front's range, from its nadir to the reference point


@dataclass(frozen=True, slots=True)
class Table:
    """A space of networks and what is known of each.

    parameters: name -> its choices; whole numbers where they have an order, labels where not.
    All that is known is asked for by codes (n, D), the number of each choice. losses: (n, seeds);
    cost_of: (n,); free_of: (n, len(free)); usable: (n,), whether it may be part of a front.
    front: (k, 2), the true one, by the mean over seeds. worst: (2,), of all usable networks of the
    file. usual_loss: their median.
    """

    name: str
    quality: str
    cost: str
    parameters: Mapping[str, Choices]
    seeds: int
    free: tuple[str, ...]
    losses: Figures
    cost_of: Figures
    free_of: Figures
    usable: Callable[[Whole], Flags]
    front: Floats
    worst: Floats
    usual_loss: float

    @property
    def sizes(self) -> Whole:
        """(D,): how many choices each parameter has."""
        return np.array([len(choices) for choices in self.parameters.values()])

    @property
    def nominal(self) -> Flags:
        """(D,): choices without an order."""
        return np.array([isinstance(each[0], str) for each in self.parameters.values()])

    def truth(self, codes: Whole) -> Floats:
        """(n, 2): mean loss, cost."""
        return np.stack([self.losses(codes).mean(axis=1), self.cost_of(codes)], axis=1)

    def references(self) -> tuple[Floats, Floats, Floats]:
        """Near: the nadir of the true front moved out by a tenth of its range. Far: the worst of
        all. Top: as near, but with the loss that half of all networks reach, where it is lower;
        fronts begin with networks that are fast and nothing else, whose area drowns the rest.
        """
        low, high = self.front.min(axis=0), self.front.max(axis=0)
        near = high + MARGIN * (high - low)
        return near, self.worst, np.array([min(near[0], self.usual_loss), near[1]])

    def shares(self, points: Floats) -> tuple[float, float, float]:
        """Hypervolume of true values (n, 2) over that of the true front: near, far, top."""
        near, far, top = (
            hypervolume(points, reference) / hypervolume(self.front, reference)
            for reference in self.references()
        )
        return near, far, top


def hypervolume(costs: Floats, reference: Floats) -> float:
    """The area that costs (n, 2), minimised, dominate up to the reference point (2,)."""
    inside = costs[(costs < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    ordered = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
    heights = np.minimum.accumulate(ordered[:, 1])
    widths = np.diff(np.append(ordered[:, 0], reference[0]))
    return float((widths * (reference[1] - heights)).sum())


def neighbours(row: Whole, sizes: Whole) -> Whole:
    """(n, D): all that differ from row (D,) in one parameter."""
    found = [
        np.concatenate([row[:place], [choice], row[place + 1 :]])
        for place, size in enumerate(sizes)
        for choice in range(size)
        if choice != row[place]
    ]
    return np.array(found)
