"""What a front is worth, and which of its points stand for it. Every column is minimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.spec.objective import Objective
from nas.study.front.pareto import non_dominated

__all__ = ["Hypervolume", "hypervolume", "knee", "thin"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """The volume that a front dominates below a reference.

    value: in the units of the objectives, multiplied.
    reference: objective -> the bound that counts as worth nothing.
    """

    value: float
    reference: dict[str, float]

    @classmethod
    def of(
        cls,
        members: Floats,
        shown: Floats,
        objectives: Sequence[Objective],
        bounds: Mapping[str, float],
    ) -> Hypervolume:
        """Return what members dominate below the bounds.

        members: (n, m), minimised.
        shown: (k, m), k > 0, whose worst are the bounds of objectives that `bounds` does not name.
        bounds: objective -> value.
        Raises SpecError for an objective that is neither named nor known of any of `shown`.
        """
        worst: list[float] = []
        for item, column in zip(objectives, shown.T, strict=True):
            if item.name not in bounds and np.isnan(column).all():
                raise SpecError(
                    f"no network here has {item.name}, so that nothing is its worst; name a "
                    f"reference, as in {item.name}=VALUE, or leave the objective out"
                )
            named = item.name in bounds
            worst.append(item.sign * bounds[item.name] if named else float(np.nanmax(column)))
        bound = np.array(worst, dtype=np.float64)
        signs = np.array([item.sign for item in objectives])
        names = [item.name for item in objectives]
        reference = dict(zip(names, (signs * bound).tolist(), strict=True))
        return cls(hypervolume(members, bound), reference)


def hypervolume(costs: Floats, reference: Floats) -> float:
    """Return how much of the space below a reference point is dominated.

    costs: (n, m); rows that are not below the reference in every column add nothing, nor do
        rows with NaN.
    reference: (m,), finite.
    Returns a volume in the units of the columns, multiplied.
    """
    costs = np.asarray(costs, dtype=np.float64).reshape(-1, len(reference))
    assert np.isfinite(reference).all(), reference
    below = costs[(costs < reference).all(axis=1)]
    return _volume(below[non_dominated(below)], np.asarray(reference, dtype=np.float64))


def _volume(front: Floats, reference: Floats) -> float:
    """Add up slices along the last column: exact, and fast enough for the fronts of a search."""
    if not len(front):
        return 0.0
    if front.shape[1] == 1:
        return float(reference[0] - front[:, 0].min())
    front = front[np.argsort(front[:, -1], kind="stable")]
    depths = np.diff(np.append(front[:, -1], reference[-1]))
    if front.shape[1] == 2:
        return float(((reference[0] - np.minimum.accumulate(front[:, 0])) * depths).sum())
    total = 0.0
    slice_ = front[:0, :-1]
    for row, depth in zip(front[:, :-1], depths.tolist(), strict=True):
        slice_ = np.vstack([slice_, row])
        slice_ = slice_[non_dominated(slice_)]
        if depth > 0:
            total += depth * _volume(slice_, reference[:-1])
    return total


def thin(costs: Floats, epsilon: Floats) -> NDArray[np.bool_]:
    """Mark an epsilon-front: a few rows of the front that stand for all of it.

    For every row there is a kept one that is at most epsilon worse in every column. One row is kept
    of each box of sides epsilon, the nearest to its best corner.

    costs: (n, m), minimised.
    epsilon: (m,), 0 or more; 0 throughout marks the front itself.
    Returns (n,) flags.
    Source: Laumanns et al. 2002.
    """
    costs = np.asarray(costs, dtype=np.float64)
    keep = np.zeros(len(costs), dtype=bool)
    front = np.flatnonzero(non_dominated(costs))
    coarse = epsilon > 0
    unit = np.where(coarse, epsilon, 1.0)
    boxes = np.where(coarse, np.floor(costs[front] / unit), costs[front])
    within = np.where(coarse, costs[front] / unit - boxes, 0.0).sum(axis=1)
    best = np.flatnonzero(non_dominated(boxes))
    _, box = np.unique(boxes[best], axis=0, return_inverse=True)
    order = best[np.lexsort((within[best], box.reshape(-1)))]
    box = np.sort(box.reshape(-1))
    first = np.ones(len(box), dtype=bool)
    first[1:] = box[1:] != box[:-1]
    # With epsilon 0 throughout, equal rows are all on the front.
    keep[front[order[first] if coarse.any() else best]] = True
    return keep


def knee(costs: Floats) -> int | None:
    """Return the row of a front from which any way along it costs most.

    That is the row furthest below the plane through the ends, in shares of each column's range.

    costs: (n, m), a front without NaN.
    Returns None where no row lies below the plane: there is no knee.
    Source: Das 1999.
    """
    costs = np.asarray(costs, dtype=np.float64)
    if len(costs) < 3 or not (np.ptp(costs, axis=0) > 0).all():
        return None
    shares = (costs - costs.min(axis=0)) / np.ptp(costs, axis=0)
    sums = shares.sum(axis=1)
    row = int(np.argmin(sums))
    return row if sums[row] < 1 - 1e-9 else None
