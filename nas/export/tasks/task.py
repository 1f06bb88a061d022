"""The part of a task in an export: how graphs are judged by it, and what a pack says of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.size import Size
from nas.data import Split
from nas.data.dataset import thinning
from nas.spec.task import Task
from nas.study.marks import Marks

__all__ = [
    "ExportTask",
    "Judged",
    "Outputs",
    "Targets",
    "at_equal_distances",
    "in_shares",
    "largest_difference",
]

Outputs = NDArray[np.float32]
"""What a graph gives for images, (N, ...)."""

Targets = NDArray[Any]
"""What is known of images, (N, ...)."""


def largest_difference(outputs: Outputs, wanted: Outputs) -> float:
    """Return the largest difference of any number; NaN where there is one."""
    return float(np.abs(outputs - wanted).max())


@dataclass(frozen=True)
class Judged:
    """The judgement of outputs.

    losses: (M,) one for each image or query; NaN where outputs have none left to tell.
    marks: (M, ...) likewise, see `nas.study.marks`.
    answers: (N, ...) what a user takes from the outputs: the best class of each image or pixel, or
        the nearest other image.
    """

    losses: NDArray[np.float64]
    marks: NDArray[Any]
    answers: NDArray[Any]

    @classmethod
    def joined(cls, parts: list[Judged]) -> Judged:
        """Put those of several batches behind each other."""
        return cls(
            np.concatenate([part.losses for part in parts]),
            np.concatenate([part.marks for part in parts]),
            np.concatenate([part.answers for part in parts]),
        )


class ExportTask(ABC):
    """The part of a task in an export; what a task does not say is as most have it.

    outputs_file: that goes into packs as outputs.py; None: none does.
    more_files: what that needs beside it: name in packs -> file.
    names_classes: whether labels.txt goes along.
    judged_together: whether outputs of all images are judged together; else each batch by itself.
    part_tells: whether figures of a part of the images stand for those of all.
    paired_by: what a graph and the network are paired by.
    agreement_phrase: what is said before the share of answers that are the same.
    """

    outputs_file: Path | None = None
    more_files: Mapping[str, Path] = {}
    names_classes = True
    judged_together = False
    part_tells = True
    paired_by = "image"
    agreement_phrase: str

    def __init__(self, task: Task) -> None:
        self.task = task

    def settings(self) -> Mapping[str, Any]:
        """Return what outputs.py reads of preprocessing.json beside what all tasks have there."""
        return {}

    def most_images(self, size: Size, wanted: int) -> int:
        """Return how many images graphs are compared on: as many as wanted and memory holds."""
        return wanted

    def batch_size(self, size: Size) -> int:
        """Return how many images go through a graph at once."""
        return 64

    def rows(self, split: Split, most: int) -> NDArray[np.int64]:
        """Choose images of a split, in its order, that stand for all."""
        return in_shares(split, most)

    @abstractmethod
    def targets(self, split: Split, rows: NDArray[np.int64], size: Size) -> Targets:
        """Return what is known of the images of some rows, at the size that they are deployed."""

    @abstractmethod
    def judge(self, outputs: Outputs, targets: Targets) -> Judged:
        """Judge what a graph gives."""

    def right(self, marks: Marks) -> NDArray[np.bool_] | None:
        """Return of each image or query whether it came out right, (M,).

        None where the figure that stands for the task is not their share.
        """
        return None

    def postprocessing_ms(self, outputs: Outputs) -> float | None:
        """Return the CPU time that post-processing a graph's outputs takes for one image.

        None where there is little of it.
        """
        return None

    def agreement(self, ones: NDArray[Any], others: NDArray[Any]) -> float:
        """Return the share of answers, of `judge`, that are the same."""
        return float((ones == others).mean())

    def comparable(self, outputs: Outputs) -> Outputs:
        """Return outputs so that equal differences of any numbers are equally bad."""
        return outputs

    def difference(self, outputs: Outputs, wanted: Outputs) -> float:
        """Return how far a graph's outputs are from the network's of the same images."""
        return largest_difference(self.comparable(outputs), self.comparable(wanted))

    @abstractmethod
    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Return the rows of at most so many images that go along in a pack, and what with them."""

    @abstractmethod
    def describe_purpose(self, size: str, classes: int) -> str:
        """Say what the network is for, with images of a size."""

    def judged_on(self, images: int, marks: int) -> str:
        """Say what it is judged on."""
        return f"{images} validation images"

    @abstractmethod
    def describe_figures(self, figures: Mapping[str, float]) -> str:
        """Write the figures that say how good it is."""

    @abstractmethod
    def describe_output(self) -> str:
        """Say what a graph returns for N images."""

    def usage(self) -> list[str]:
        """Return the lines of a card on how to use that output; none where it is plain."""
        return []

    def describe_way_back(self) -> str | None:
        """Say how results go back to the image before it was resized; None where there is none."""
        return None


def in_shares(split: Split, most: int) -> NDArray[np.int64]:
    """Choose at most so many images of a split, every label in its share: rows in order.

    An image of several classes has the label of the rarest.
    """
    labels = split.labels.numpy()
    if len(labels) <= most:
        return np.arange(len(labels))
    return np.sort(thinning(labels, 0)[:most])


def at_equal_distances(count: int, most: int) -> NDArray[np.int64]:
    """Choose at most so many of rows 0 to count."""
    return np.arange(0, count, max(1, count // most))[:most]
