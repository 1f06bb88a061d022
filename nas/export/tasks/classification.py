"""Classification: scores of classes for each image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.size import Size
from nas.data import Split
from nas.data.dataset import thinning
from nas.export.tasks.task import Judged, Outputs, Targets, largest_difference
from nas.export.verify import ALIKE, judge
from nas.spec.task import Task
from nas.study.marks import Marks

__all__ = ["Classification"]


class Classification:
    """The task of one label for each image."""

    outputs_file: Path | None = None
    more_files: Mapping[str, Path] = {}
    names_classes = True
    judged_together = False
    part_tells = True
    paired_by = "image"
    alike = ALIKE

    def __init__(self, task: Task) -> None:
        self.task = task

    def settings(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def most(self, size: Size, wanted: int) -> int:
        """Return as many as are wanted."""
        return wanted

    def at_once(self, size: Size) -> int:
        """Return 64."""
        return 64

    def rows(self, split: Split, most: int) -> NDArray[np.int64]:
        """Choose images, every class in its share."""
        return in_shares(split, most)

    def targets(self, split: Split, rows: NDArray[np.int64], size: Size) -> Targets:
        """Return the labels, (N,)."""
        labels: Targets = split.labels.numpy()[rows]
        return labels

    def judge(self, outputs: Outputs, targets: Targets) -> Judged:
        """Judge scores (N, classes) by labels (N,)."""
        answers = outputs.argmax(axis=1)
        return Judged(judge(outputs, targets)[0], answers == targets, answers)

    def right(self, marks: Marks) -> NDArray[np.bool_] | None:
        """Return the marks."""
        found: NDArray[np.bool_] = marks
        return found

    def behind_ms(self, outputs: Outputs) -> float | None:
        """Return nothing."""
        return None

    def agreement(self, ones: NDArray[Any], others: NDArray[Any]) -> float:
        """Return the share of equal numbers."""
        return float((ones == others).mean())

    def comparable(self, outputs: Outputs) -> Outputs:
        """Return them as they are."""
        return outputs

    def apart(self, outputs: Outputs, wanted: Outputs) -> float:
        """Return the largest difference of a number."""
        return largest_difference(outputs, wanted)

    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Take images at equal distances, with their scores and labels."""
        rows = at_equal_distances(len(targets), most)
        return rows, {"scores": scores[rows], "labels": targets[rows]}

    def does(self, size: str, classes: int) -> str:
        """Say that it classifies."""
        return f"Classifies images of {size} into {classes} classes (labels.txt)"

    def judged_on(self, images: int, marks: int) -> str:
        """Count the images."""
        return f"{images} validation images"

    def told(self, figures: Mapping[str, float]) -> str:
        """Say how many are right."""
        return f"{figures['accuracy']:.1%} right"

    def gives(self) -> str:
        """Say that scores are before softmax."""
        return "scores (N, classes) before softmax"

    def use(self) -> list[str]:
        """Return nothing: the largest score is that of the class."""
        return []

    def goes_back(self) -> str | None:
        """Return nothing: a class has no place."""
        return None


def in_shares(split: Split, most: int) -> NDArray[np.int64]:
    """Choose at most so many images of a split, every label in its share: rows in order."""
    labels = split.labels.numpy()
    if len(labels) <= most:
        return np.arange(len(labels))
    return np.sort(thinning(labels, 0)[:most])


def at_equal_distances(count: int, most: int) -> NDArray[np.int64]:
    """Choose at most so many of rows 0 to count."""
    return np.arange(0, count, max(1, count // most))[:most]
