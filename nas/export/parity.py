"""The agreement of a graph with the trained network on real images, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from nas.base.size import Size
from nas.belief.noise import NORMAL_QUANTILE
from nas.data import Dataset, Split
from nas.data.dataset import Channels
from nas.export.target.target import EXACT, Images
from nas.export.tasks import ExportTask, Judged, Targets, export_task
from nas.export.verify import LEAST_LARGEST, Session, normalised
from nas.export.winner import Winner
from nas.spec.task import Task
from nas.study.marks import Marks, figure_covariance, figure_gap, figures_of

__all__ = [
    "AccuracyDrop",
    "GraphScores",
    "Parity",
    "ValidationScores",
    "departs",
    "predict_validation",
    "sample_images",
    "without_wrong_folds",
]

_BEYOND = 3.0
"""Standard errors that tell another accuracy from the noise of the images."""

_ROUNDING = 1e-3
"""Of a figure, beside the noise: a network that says the same of all images has none."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The agreement of a graph's scores, or vectors, with the network's.

    difference: the largest absolute difference of any score.
    largest: the largest absolute score.
    images: number of real images that it was seen on.
    tolerance: allowed share of the largest score.
    agreement: share of the images, or their pixels, with the same best class, or of the images with
        the same nearest other one.
    """

    difference: float
    largest: float
    images: int
    tolerance: float = 1e-5
    agreement: float = 1.0

    @property
    def share(self) -> float:
        """The difference as a share of the largest score."""
        return self.difference / max(LEAST_LARGEST, self.largest)

    @property
    def holds(self) -> bool:
        """True where the difference is within the tolerance."""
        return self.share <= self.tolerance


@dataclass(frozen=True, slots=True)
class AccuracyDrop:
    """The accuracy of the network less that of a graph, or another figure of its task.

    As a share of the images.
    low, high: of the 95 % interval, paired by image.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, network: NDArray[np.bool_], graph: NDArray[np.bool_]) -> AccuracyDrop:
        """Compare two on the same images.

        The interval is Bonett and Price's (2012) for paired proportions, which has a width even
        where the two are right about the same images.

        network: (N,), whether it is right about an image.
        graph: likewise.
        """
        lost, gained = int((network & ~graph).sum()), int((graph & ~network).sum())
        count = len(network) + 2
        shares = (lost + 1) / count, (gained + 1) / count
        middle = shares[0] - shares[1]
        half_width = NORMAL_QUANTILE * math.sqrt((sum(shares) - middle**2) / count)
        return cls((lost - gained) / len(network), middle - half_width, middle + half_width)

    @classmethod
    def of_marks(cls, task: Task, network: Marks, graph: Marks) -> AccuracyDrop:
        """Compare two by their marks of the same images or queries; see `nas.study.marks`.

        Where the figure is no share of them, the interval is of a bootstrap over images.
        """
        right, kept = (export_task(task).right(marks) for marks in (network, graph))
        if right is not None and kept is not None:
            return cls.of(right, kept)
        gap = figure_gap(task.name, [network], [graph])
        half_width = NORMAL_QUANTILE * gap.error
        return cls(gap.gap, gap.gap - half_width, gap.gap + half_width)

    def __str__(self) -> str:
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.mean:.1f} points (95 %: {low:.1f} to {high:.1f})"


@dataclass(frozen=True, slots=True)
class GraphScores:
    """The worth of a graph's scores beside the network's.

    loss: the mean over the images, or queries, of the graph.
    figures: of the graph by name, the one that stands for the task first.
    drop: what it loses of the network's accuracy.
    loss_change: the graph's loss less the network's, paired by image.
    half_width: of the 95 % interval of loss_change.
    """

    parity: Parity
    loss: float
    figures: Mapping[str, float]
    drop: AccuracyDrop
    loss_change: float
    half_width: float

    def with_boxes_of(self, suppressing: GraphScores) -> GraphScores:
        """Return the scores of a graph that suppresses boxes itself: a loss is of what is behind.

        suppressing: the scores of that graph. These: of the same graph without suppression.
        """
        parity, figures, drop = suppressing.parity, suppressing.figures, suppressing.drop
        return replace(self, parity=parity, figures=figures, drop=drop)

    @property
    def accuracy(self) -> float:
        """The figure that stands for the task: the share of images that it gets right."""
        return next(iter(self.figures.values()))


@dataclass(frozen=True)
class ValidationScores:
    """The validation images as they are deployed, and what the network says of them as trained.

    task: what the network is for.
    pixels: (N, H, W, 3).
    preprocessing: mean and std of each channel.
    targets: (N, ...), what is known of them; see `ExportTask.targets`.
    scores: (N, ...), what the network gives: scores before softmax, or vectors.
    judged: how good that is.
    whole: whether these are all validation images.
    network: that it is; None: the task needs none to judge by.
    """

    task: Task
    pixels: NDArray[np.uint8]
    preprocessing: Mapping[str, Channels]
    targets: Targets
    scores: Images
    judged: Judged
    whole: bool = True
    network: nn.Module | None = None

    @property
    def judging(self) -> ExportTask:
        """The task that judges outputs."""
        return export_task(self.task, self.network, self.size)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> Images:
        """All of them normalised, (N, 3, H, W)."""
        return normalised(self.pixels, dict(self.preprocessing))

    @property
    def size(self) -> Size:
        """Their size."""
        _, height, width, _ = self.pixels.shape
        return Size(height, width)

    @property
    def losses(self) -> NDArray[np.float64]:
        """The loss of every image, or query."""
        return self.judged.losses

    @cached_property
    def figures(self) -> Mapping[str, float]:
        """The figures of the network by name, the one that stands for the task first."""
        return figures_of(self.task.name, self.judged.marks)

    @property
    def accuracy(self) -> float:
        """The figure that stands for the task: the share of the images that is right."""
        return next(iter(self.figures.values()))

    @property
    def words(self) -> str:
        """What they are, in words: `512 validation images`."""
        return self.judging.judged_on(len(self), len(self.losses))

    def compare(self, session: Session, tolerance: float) -> GraphScores:
        """Run the images through a graph, in batches and, the first, by itself.

        tolerance: allowed share of the largest score.
        """
        about, differences, parts = self.judging, [], []
        for rows, scores in _outputs(self.task, session, self.pixels, self.preprocessing):
            differences.append(self._difference(scores, rows))
            parts.append(about.judge(scores, self.targets[rows]))
        alone = session(normalised(self.pixels[:1], dict(self.preprocessing)))
        differences.append(self._difference(alone, slice(1)))
        judged = Judged.joined(parts)
        change = judged.losses - self.losses
        half_width = 0.0
        if len(change) > 1:
            half_width = NORMAL_QUANTILE * float(change.std(ddof=1)) / math.sqrt(len(change))
        parity = Parity(
            # NaN would pass for small.
            max(differences) if all(map(math.isfinite, differences)) else math.inf,
            float(np.abs(about.comparable(self.scores)).max()),
            len(self),
            tolerance,
            about.agreement(judged.answers, self.judged.answers),
        )
        return GraphScores(
            parity,
            float(judged.losses.mean()),
            figures_of(self.task.name, judged.marks),
            AccuracyDrop.of_marks(self.task, self.judged.marks, judged.marks),
            float(change.mean()),
            half_width,
        )

    def _difference(self, scores: Images, rows: slice) -> float:
        """Return how far a graph's outputs for some rows are from the network's."""
        return self.judging.difference(scores, self.scores[rows])

    def departs_from(self, recorded: float | None) -> bool:
        """Say whether its accuracy is beyond the noise of the images from a recorded one.

        Nothing is said where it is of a part of the images that does not stand for all.
        """
        task, marks = self.judging, self.judged.marks
        if recorded is None or not (self.whole or task.part_tells):
            return False
        if task.right(marks) is not None:
            return departs(self.accuracy, recorded, len(marks))
        variance = float(figure_covariance(self.task.name, [[marks]], len(marks))[0, 0])
        return abs(self.accuracy - recorded) > _BEYOND * math.sqrt(variance) + _ROUNDING


def departs(accuracy: float, recorded: float | None, images: int) -> bool:
    """Say whether an accuracy is beyond the noise of the images from a recorded one.

    images: number of images that it was seen on, which may be a sample of those of the record.
    """
    if recorded is None:
        return False
    # Never less than of an image: all right is no accuracy without noise.
    share = min(max((accuracy + recorded) / 2, 1 / images), 1 - 1 / images)
    return abs(accuracy - recorded) > _BEYOND * math.sqrt(share * (1 - share) / images)


def _outputs(
    task: Task,
    session: Session,
    pixels: NDArray[np.uint8],
    preprocessing: Mapping[str, Channels],
) -> Iterator[tuple[slice, Images]]:
    """Send images through in batches: which rows, and what comes of them.

    In one piece where outputs are judged together.
    """
    about = export_task(task)
    _, height, width, _ = pixels.shape
    size = about.batch_size(Size(height, width))
    batches = [slice(row, row + size) for row in range(0, len(pixels), size)]
    batches_of_outputs = (
        (rows, session(normalised(pixels[rows], dict(preprocessing)))) for rows in batches
    )
    if about.judged_together:
        yield slice(None), np.concatenate([outputs for _, outputs in batches_of_outputs])
    else:
        yield from batches_of_outputs


def predict_validation(winner: Winner, data: Dataset, most: int) -> ValidationScores:
    """Return validation images with what the network gives for them as it was trained.

    most: number of images, every class in its share; fewer, or more, as the task has it.
    """
    task = winner.judging
    most = task.most_images(winner.size, most)
    pixels, targets = sample_images(winner.task, data.validation, winner.size, most)
    preprocessing = {"mean": winner.mean, "std": winner.std}
    given, judged = [], []
    for rows, outputs in _outputs(winner.task, _session(winner.trained), pixels, preprocessing):
        given.append(outputs)
        judged.append(task.judge(outputs, targets[rows]))
    return ValidationScores(
        winner.task,
        pixels,
        preprocessing,
        targets,
        np.concatenate(given),
        Judged.joined(judged),
        whole=len(pixels) == len(data.validation),
        network=winner.trained,
    )


def without_wrong_folds(winner: Winner, images: ValidationScores) -> Winner:
    """Return what is to be shipped: without folds and merges that change it on real images.

    Gates are folded where that is the same by what a trace shows; a network that goes another way
    with other images is not seen through by it. Merged branches round otherwise, which much of a
    network that was trained for a few steps alone may be.
    """

    def agrees(network: nn.Module) -> bool:
        return images.compare(_session(network), EXACT).parity.holds

    if winner.unfolded is not None and not agrees(winner.network):
        winner = replace(winner, network=winner.unfolded, unfolded=None)
    if winner.merged is not winner.network and not agrees(winner.merged):
        winner = replace(winner, merges=False)
    return winner


def _session(network: nn.Module) -> Session:
    def infer(images: Images) -> Images:
        with torch.no_grad():
            scores: Images = network(torch.from_numpy(images)).numpy()
            return scores

    return infer


def sample_images(
    task: Task, split: Split, size: Size, most: int
) -> tuple[NDArray[np.uint8], Targets]:
    """Return images as they are deployed and what is known of them, every class in its share.

    size: of the images: a network may be deployed larger than it was trained and its images were
        decoded.
    most: number of images.
    Returns (N, height, width, 3) and (N, ...).
    """
    about = export_task(task)
    rows = about.rows(split, most)
    pixels = split.images[torch.from_numpy(rows)]
    deployed = (size.height, size.width)
    if pixels.shape[1:3] != deployed:
        scaled = functional.interpolate(
            pixels.permute(0, 3, 1, 2).float(), size=deployed, mode="bilinear"
        )
        pixels = scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy()), about.targets(split, rows, size)
