"""Marks of detection: what was found of each image, from which average precision is made.

As in COCO's evaluation (https://cocodataset.org/#detection-eval), whose figures these are: average
precision is the mean over ten overlaps, 101 recalls and the classes that have any object. It is no
mean over images, so that marks are kept which give it of any images, each as often as wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OVERLAPS",
    "Boxes",
    "average_precisions",
    "box_overlaps",
    "detection_figures",
    "detection_marks",
    "precision_by_group",
    "precision_of_draws",
    "stack_marks",
]

Boxes = NDArray[Any]
Marks = NDArray[np.float64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""The overlaps, intersections over unions, from which on a box is found."""

_SMALL, _LARGE = 32.0**2, 96.0**2
_AREAS = np.array([[0, np.inf], [0, _SMALL], [_SMALL, _LARGE], [_LARGE, np.inf]])
"""The least and the largest area of objects, pixels: of all, small, medium and large ones."""

_RECALLS = np.linspace(0, 1, 101)
_MOST = 100  # detections of one class in an image that count
_BITS = 2 ** np.arange(len(OVERLAPS))
_ALMOST_ALL = 1 - 1e-10
_AT_ONCE = 50  # draws

# Columns of marks.
_SCORE, _CLASS, _FOUND, _LEFT_OUT = 0, 1, slice(2, 6), slice(6, 10)
_COLUMNS = 10
_NO_SCORE = -np.inf


def box_overlaps(ones: Boxes, others: Boxes, crowd: Flags | None = None) -> Floats:
    """Return the intersection over union of each of n boxes with each of m: (n, m).

    ones, others: (n, 4), (m, 4): x1, y1, x2, y2.
    crowd: (m,), the regions of which any part may be met: then the share of the one box in it.
    """
    sides = np.minimum(ones[:, None, 2:4], others[None, :, 2:4])
    sides = np.maximum(sides - np.maximum(ones[:, None, :2], others[None, :, :2]), 0)
    both = sides[..., 0] * sides[..., 1]
    union = _areas(ones)[:, None] + _areas(others) - both
    if crowd is not None:
        union = np.where(crowd, _areas(ones)[:, None], union)
    shares: Floats = np.divide(both, union, out=np.zeros(both.shape), where=union > 0)
    return shares


def _areas(boxes: Boxes) -> Floats:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def detection_marks(detections: Boxes, truths: Boxes) -> Marks:
    """Return the marks of one image, (K, 10), for `stack_marks`.

    A row for each detection of the 100 of its class with the highest scores: score, class, and as
    a number of ten bits, one for each overlap, at which it found an object, of all sizes and of
    small, medium and large ones; then likewise at which it does not count. Another for each class
    that has objects: -inf, class, and how many of each size; at last zeros.

    detections: (D, 6): x1, y1, x2, y2, score, class.
    truths: (M, 6) as in `nas.data.Split`, or (M, 7): with the area by which an object has its size,
        where that is not its box's.
    """
    detections = np.asarray(detections, dtype=np.float64).reshape(-1, 6)
    truths = np.asarray(truths, dtype=np.float64)
    truths = truths[truths[:, 4] >= 0]
    crowd, classes = truths[:, 5] > 0, truths[:, 4]
    area = truths[:, 6] if truths.shape[1] > 6 else _areas(truths)
    ignored = crowd | _is_beyond(area)
    best = _best(detections)
    matched, left_out = _match(best, truths, crowd, ignored)

    marks = np.zeros((len(best), _COLUMNS))
    marks[:, _SCORE], marks[:, _CLASS] = best[:, 4], best[:, 5]
    marks[:, _FOUND], marks[:, _LEFT_OUT] = (flags @ _BITS for flags in (matched, left_out))
    known = np.unique(classes)
    counts = np.zeros((len(known), _COLUMNS))
    counts[:, _SCORE], counts[:, _CLASS] = _NO_SCORE, known
    for place, one in enumerate(known):
        counts[place, _FOUND] = (~ignored[:, classes == one]).sum(axis=1)
    return np.concatenate([marks, counts])


def stack_marks(marks: Sequence[Marks]) -> Marks:
    """Return the marks of images together, (N, K, 10), those of the fewest rows filled up.

    marks: of each image, (K, 10); a row of no class, -1, says nothing.
    """
    most = max((len(one) for one in marks), default=0)
    stacked = np.zeros((len(marks), most, _COLUMNS))
    stacked[:, :, _SCORE], stacked[:, :, _CLASS] = _NO_SCORE, -1
    for image, one in zip(stacked, marks, strict=True):
        image[: len(one)] = one
    return stacked


def _is_beyond(area: Floats) -> Flags:
    """Return whether areas, (n,), are of none of the sizes: (4, n)."""
    flags: Flags = (area < _AREAS[:, :1]) | (area > _AREAS[:, 1:])
    return flags


def _best(detections: Boxes) -> Boxes:
    """Return the detections that count, the highest score first; of equal ones as they come."""
    order = np.argsort(-detections[:, 4], kind="stable")
    ordered = detections[order]
    if len(ordered) <= _MOST:
        return ordered
    rank = np.empty(len(ordered), dtype=np.int64)
    for one in np.unique(ordered[:, 5]):
        rows = np.flatnonzero(ordered[:, 5] == one)
        rank[rows] = np.arange(len(rows))
    return ordered[rank < _MOST]


def _match(detections: Boxes, truths: Boxes, crowd: Flags, ignored: Flags) -> tuple[Flags, Flags]:
    """Return whether detections found an object, and whether they do not count: (D, 4, 10) each.

    A detection takes the object that it meets most of those left, if it meets it by the overlap;
    one that does not count only where there is no other. A crowd is never taken.

    ignored: (4, M), of each size the objects that do not count.
    """
    shape = len(detections), len(_AREAS), len(OVERLAPS)
    found, left_out = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    overlaps = box_overlaps(detections, truths, crowd)
    overlaps[detections[:, 5][:, None] != truths[:, 4]] = 0
    least = np.minimum(OVERLAPS, _ALMOST_ALL)[:, None]
    free = np.ones((*shape[1:], len(truths)), dtype=np.bool_)
    for row in np.flatnonzero((overlaps >= least[0]).any(axis=1)):
        # Only the objects of this class that it meets; there are few.
        near = np.flatnonzero(overlaps[row] >= least[0])
        meets = (overlaps[row, near] >= least) & free[..., near]
        counts = meets & ~ignored[:, None, near]
        regular = counts.any(axis=2)
        meets = np.where(regular[..., None], counts, meets)
        matched = meets.any(axis=2)
        # Of equal overlaps the last, as pycocotools has it.
        last = np.where(meets, overlaps[row, near], -1.0)[..., ::-1].argmax(axis=2)
        taken = near[len(near) - 1 - last]
        found[row] = regular
        left_out[row] = matched & ~regular
        sizes, limits = np.nonzero(matched & ~crowd[taken])
        free[sizes, limits, taken[sizes, limits]] = False
    left_out |= _is_beyond(_areas(detections)).T[..., None] & ~found
    return found, left_out


@dataclass(frozen=True, slots=True)
class _OfClass:
    """The detections of one class in all images, the highest score first, for one size.

    images: (D,), of each detection.
    found, left_out: (D,), bits.
    objects: (N,), how many objects each image has.
    """

    images: NDArray[np.int64]
    found: NDArray[np.int64]
    left_out: NDArray[np.int64]
    objects: NDArray[np.int64]

    def precisions(self, times: NDArray[np.int64]) -> Floats:
        """Return the average precision at each overlap, (B, 10), where images come as often.

        NaN where no object is among them.

        times: (B, N).
        """
        objects = times @ self.objects
        often = times[:, self.images]
        seen = often.cumsum(axis=1)
        # Recall moves only where an object is found, and so does the best precision beyond it.
        steps = np.arange(objects.max(initial=0) + 1) / np.maximum(objects, 1)[:, None]
        reached = np.searchsorted(_RECALLS, steps, side="right")
        precisions = np.empty((len(times), len(OVERLAPS)))
        for place, bit in enumerate(_BITS):
            at, without = np.flatnonzero(self.found & bit), np.flatnonzero(self.left_out & bit)
            right = often[:, at].cumsum(axis=1)
            counted = seen[:, at]
            if len(without):
                passed = np.zeros((len(times), len(without) + 1), dtype=np.int64)
                often[:, without].cumsum(axis=1, out=passed[:, 1:])
                counted -= passed[:, np.searchsorted(without, at)]
            precision = right / np.maximum(counted, 1)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recalls = np.diff(np.take_along_axis(reached, right, axis=1), axis=1, prepend=0)
            precisions[:, place] = (recalls * best).sum(axis=1) / len(_RECALLS)
        precisions[objects == 0] = np.nan
        return precisions


def _by_class(marks: Marks, size: int = 0) -> dict[int, _OfClass]:
    """Return the marks of images by the classes that have objects of a size.

    size: 0: any, 1: small, 2: medium, 3: large.
    """
    image = np.repeat(np.arange(len(marks)), marks.shape[1])
    rows = marks.reshape(-1, _COLUMNS)
    kept = rows[:, _CLASS] >= 0
    image, rows = image[kept], rows[kept]
    order = np.argsort(-rows[:, _SCORE], kind="stable")
    image, rows = image[order], rows[order]
    detected, known = rows[:, _SCORE] > _NO_SCORE, rows[:, _FOUND.start + size]
    classes: dict[int, _OfClass] = {}
    for one in np.unique(rows[~detected & (known > 0), _CLASS]):
        of_class = rows[:, _CLASS] == one
        seen, true = np.flatnonzero(of_class & detected), of_class & ~detected
        objects = np.zeros(len(marks), dtype=np.int64)
        objects[image[true]] = known[true]
        left_out = rows[seen, _LEFT_OUT.start + size].astype(np.int64)
        classes[int(one)] = _OfClass(image[seen], known[seen].astype(np.int64), left_out, objects)
    return classes


def average_precisions(marks: Marks, classes: int, size: int = 0) -> Floats:
    """Return the average precision of each class at each overlap, (classes, 10).

    NaN of a class without objects of the size.

    marks: (N, K, 10).
    size: 0: any, 1: small, 2: medium, 3: large.
    """
    once = np.ones((1, len(marks)), dtype=np.int64)
    table = np.full((classes, len(OVERLAPS)), np.nan)
    for one, of_class in _by_class(marks, size).items():
        table[one] = of_class.precisions(once)[0]
    return table


def detection_figures(marks: Marks) -> dict[str, float]:
    """Return the figures of images by name, 0 to 1.

    Those of a size that no object has are left out, where pycocotools says -1. Of images without
    any object the others are 0.

    marks: (N, K, 10).
    """
    classes = int(marks[..., _CLASS].max(initial=-1)) + 1
    tables = [average_precisions(marks, classes, size) for size in range(len(_AREAS))]
    means = [_mean(table) for table in tables]
    figures = {"ap": means[0], "ap50": _mean(tables[0][:, 0]), "ap75": _mean(tables[0][:, 5])}
    sizes = dict(zip(("ap_small", "ap_medium", "ap_large"), means[1:], strict=True))
    known = {name: value for name, value in sizes.items() if not np.isnan(value)}
    return {name: float(np.nan_to_num(value)) for name, value in figures.items()} | known


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def precision_of_draws(marks: Marks) -> Callable[[NDArray[np.int64]], Floats]:
    """Return a function that says what AP is where each image comes so often: (B, N) -> (B,).

    It is the AP of images of which each stands there as often, beside itself; 0 without objects.

    marks: (N, K, 10). What depends on them alone is done once: 2,000 draws of 300 images with 55
        detections each took 1.3 seconds (benchmarks/tasks/average_precision.py).
    """
    classes = list(_by_class(marks).values())

    def drawn(times: NDArray[np.int64]) -> Floats:
        tables = np.full((max(len(classes), 1), len(times)), np.nan)
        for place, of_class in enumerate(classes):
            tables[place] = of_class.precisions(times).mean(axis=1)
        known = ~np.isnan(tables)
        return np.asarray(np.where(known, tables, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))

    return drawn


def precision_by_group(marks: Marks, most: int) -> Floats:
    """Return what groups of images, evenly mixed, say of AP: (G,), whose mean is AP of all.

    They are the pseudo-values of the jackknife, from which the variance of AP over other images is
    theirs over G, as of any mean. In simulated images standard errors of two networks and of the
    gap between them were 2 to 7 % above those of 2,000 draws of a bootstrap with 30 images, and 2
    to 4 % with 300 (benchmarks/tasks/average_precision.py).

    marks: (N, K, 10).
    most: how many groups, where there are as many images.
    """
    groups = min(len(marks), most)
    drawn = precision_of_draws(marks)
    others = np.arange(len(marks)) % groups != np.arange(groups)[:, None]
    at_once = np.array_split(others.astype(np.int64), -(-groups // _AT_ONCE))
    without = np.concatenate([drawn(times) for times in at_once])
    whole = drawn(np.ones((1, len(marks)), dtype=np.int64))
    return np.asarray(whole + (groups - 1) * (without.mean() - without))
