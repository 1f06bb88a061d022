"""Marks: what was found of each image or query, from which a task's figures are made.

Classification: (N,) bool, whether an image was told right.
Segmentation: (N, classes, 3) int, for each image and class the pixels that are it and were told so,
those that were told so, and those that are it; pixels that do not count left out.
Retrieval: (Q, 3) float, the average precision of each query, and whether an image of its identity
was the first, or among the first five, of the gallery.
Detection: (N, K, 10) float, see `nas.study.detection_marks`. As a study keeps them, (G,) float,
what each of so many groups of images says of AP, which is their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.spec.task import TASKS, TaskName
from nas.study.detection_marks import detection_figures, precision_of_draws

__all__ = [
    "IGNORED",
    "FigureGap",
    "Marks",
    "class_ious",
    "figure_covariance",
    "figure_gap",
    "figures_of",
    "first_figure",
    "is_share",
    "pixel_marks",
]

Marks = NDArray[Any]
Floats = NDArray[np.float64]

IGNORED = 255
"""The class of a pixel that does not count."""

_DRAWS = 2000  # of a bootstrap: a standard error to 1.6 %
_AT_ONCE = 100  # of them, so that the counts of all classes fit


def pixel_marks(predicted: NDArray[Any], true: NDArray[Any], classes: int) -> Marks:
    """Return the marks of one image of segmentation: (classes, 3) int64.

    predicted, true: (height, width), the class of each pixel; 255: none was predicted, which is
        wrong, or it does not count.
    """
    counted = true != IGNORED
    predicted, true = predicted[counted], true[counted]
    seen = (true[true == predicted], predicted[predicted != IGNORED], true)
    return np.stack([np.bincount(pixels, minlength=classes) for pixels in seen], axis=1)


def figures_of(task: TaskName, marks: Marks) -> dict[str, float]:
    """Return the figures of a task by name, 0 to 1, the one that stands for it first.

    One that these images say nothing of, such as AP of large objects without any, is left out.
    """
    values, named = _FIGURES[task](marks), (figure.name for figure in TASKS[task].figures)
    return {name: values[name] for name in named if name in values}


def first_figure(task: TaskName, marks: Marks) -> float:
    """Return the figure that stands for a task, 0 to 1."""
    return next(iter(figures_of(task, marks).values()))


def is_share(task: TaskName) -> bool:
    """Return whether the figure that stands for a task is a share of images or queries."""
    return task in _BY_IMAGE


def class_ious(marks: Marks) -> Floats:
    """Return the intersection over union of each class, (classes,), from marks of segmentation.

    Over the pixels of all images together; NaN of a class that no pixel is or was told to be.
    """
    return _ious(marks.sum(axis=0, dtype=np.float64))


def _ious(counts: Floats) -> Floats:
    """Return the intersections over unions of counts (..., classes, 3): (..., classes)."""
    both, predicted, true = np.moveaxis(counts, -1, 0)
    union = predicted + true - both
    shares: Floats = np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)
    return shares


def _mean_iou(counts: Floats) -> Floats:
    """Return the mean over the classes that some pixel is or was told to be; 0 where none is.

    counts: (..., classes, 3).
    """
    ious = _ious(counts)
    occur = np.maximum((~np.isnan(ious)).sum(axis=-1), 1)
    return np.asarray(np.nansum(ious, axis=-1) / occur)


def _classification(marks: Marks) -> dict[str, float]:
    return {"accuracy": float(np.mean(marks, dtype=np.float64))}


def _segmentation(marks: Marks) -> dict[str, float]:
    counts = marks.sum(axis=0, dtype=np.float64)
    both, _, true = counts.sum(axis=0)
    return {"miou": float(_mean_iou(counts)), "pixel_accuracy": float(both / max(true, 1.0))}


def _retrieval(marks: Marks) -> dict[str, float]:
    average_precision, first, among_five = marks.mean(axis=0, dtype=np.float64)
    return {"map": float(average_precision), "rank1": float(first), "rank5": float(among_five)}


def _detection(marks: Marks) -> dict[str, float]:
    return detection_figures(marks) if marks.ndim > 1 else {"ap": float(marks.mean())}


_FIGURES: Mapping[TaskName, Callable[[Marks], dict[str, float]]] = {
    "classification": _classification,
    "segmentation": _segmentation,
    "retrieval": _retrieval,
    "detection": _detection,
}


_BY_IMAGE: Mapping[TaskName, Callable[[Marks], Floats]] = {
    "classification": lambda marks: marks.astype(np.float64),
    "retrieval": lambda marks: marks[:, 1].astype(np.float64),
}
"""The values, (N,), that the first figure is the mean of, of tasks where it is such a mean."""

Times = NDArray[np.int64]
"""How often each image is drawn, (B, N)."""


def _iou_of_draws(marks: Marks) -> Callable[[Times], Floats]:
    return lambda times: _mean_iou(np.tensordot(times.astype(np.float64), marks, axes=1))


_OF_DRAWS: Mapping[TaskName, Callable[[Marks], Callable[[Times], Floats]]] = {
    "segmentation": _iou_of_draws,
    "detection": precision_of_draws,
}
"""From marks, what says the first figure of images drawn so often, (B,), of tasks where it is no
mean."""


@dataclass(frozen=True, slots=True)
class FigureGap:
    """By how much one network's first figure is above another's, and how far images move that.

    error: a standard error, over other images of their kind; seeds are not in it.
    """

    gap: float
    error: float


def figure_gap(task: TaskName, ones: Sequence[Marks], others: Sequence[Marks]) -> FigureGap:
    """Compare the first figures of two networks on the same images.

    ones, others: the marks of each network, by seed; figures are means over seeds.
    """
    means = [float(np.mean([first_figure(task, marks) for marks in by_seed]))
             for by_seed in (ones, others)]  # fmt: skip
    covariance = figure_covariance(task, [ones, others], len(ones[0]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return FigureGap(means[0] - means[1], float(np.sqrt(max(variance, 0.0))))


def figure_covariance(
    task: TaskName, networks: Sequence[Sequence[Marks]], images: int, unit: float = 1.0
) -> Floats:
    """Return how first figures of networks move together over other images of their kind.

    (k, k). Where the figure is a mean over images, or over what groups of them say, from how these
    differ; else by a bootstrap over images, or over the groups of images that marks were kept of,
    always the same draws.

    networks: the marks of each, by seed, on the same images; figures are means over seeds.
    images: that there are, of which some may stand for all in marks.
    unit: what figures are counted in; 100 for points.
    """
    if task in _BY_IMAGE:
        values = [unit * np.mean([_BY_IMAGE[task](marks) for marks in by_seed], axis=0)
                for by_seed in networks]  # fmt: skip
        return np.atleast_2d(np.cov(np.stack(values))) / max(images, 1)
    groups = len(networks[0][0])
    if networks[0][0].ndim == 1:
        means = [unit * np.mean(by_seed, axis=0) for by_seed in networks]
        return np.atleast_2d(np.cov(np.stack(means))) / groups
    # As many drawn of as many vary by less than what they stand for, by one in as many.
    drawn = np.atleast_2d(np.cov(unit * _resampled(task, networks), rowvar=False))
    return np.asarray(drawn * groups / max(groups - 1, 1))


def _resampled(task: TaskName, networks: Sequence[Sequence[Marks]]) -> Floats:
    """Return first figures over images drawn again and again with replacement, (_DRAWS, k)."""
    rng = np.random.default_rng(0)
    groups = len(networks[0][0])
    figures = np.empty((_DRAWS, len(networks)))
    drawn = [[_OF_DRAWS[task](marks) for marks in by_seed] for by_seed in networks]
    for start in range(0, _DRAWS, _AT_ONCE):
        times = rng.multinomial(groups, np.full(groups, 1 / groups), size=_AT_ONCE)
        for number, by_seed in enumerate(drawn):
            means = np.mean([of_draws(times) for of_draws in by_seed], axis=0)
            figures[start : start + _AT_ONCE, number] = means
    return figures
