"""Classification: scores of classes for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.size import Size
from nas.data import Split
from nas.export.tasks.task import ExportTask, Judged, Outputs, Targets, at_equal_distances
from nas.export.verify import ALIKE, judge
from nas.study.marks import Marks

__all__ = ["Classification"]


class Classification(ExportTask):
    """The task of one label for each image."""

    agreement_phrase = ALIKE

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
        correct: NDArray[np.bool_] = marks
        return correct

    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Take images at equal distances, with their scores and labels."""
        rows = at_equal_distances(len(targets), most)
        return rows, {"scores": scores[rows], "labels": targets[rows]}

    def describe_purpose(self, size: str, classes: int) -> str:
        """Say that it classifies."""
        return f"Classifies images of {size} into {classes} classes (labels.txt)"

    def describe_figures(self, figures: Mapping[str, float]) -> str:
        """Say how many are right."""
        return f"{figures['accuracy']:.1%} right"

    def describe_output(self) -> str:
        """Say that scores are before softmax."""
        return "scores (N, classes) before softmax"
