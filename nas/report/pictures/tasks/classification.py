"""Classification: an image, its class, and the predicted class with its probability."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from nas.data import Dataset, Split
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks.task import (
    CamTarget,
    LegendEntry,
    Longs,
    Picture,
    Prediction,
    class_name,
    pixels_of,
)

__all__ = ["ClassificationPictures"]


class ClassificationPictures:
    """Pictures of one label for each image."""

    layer = "last"
    towards = "the score of the true class"

    def choices(self, split: Split) -> tuple[Longs, Longs]:
        """Return all rows, and their classes."""
        return np.arange(len(split)), split.labels.numpy()

    def truths(self, data: Dataset, rows: Tensor) -> list[tuple[Picture, ...]]:
        """Return each image with its class."""
        labels = data.validation.labels[rows].tolist()
        return [
            (Picture(pixels_of(data, row), class_name(data, label)),)
            for row, label in zip(rows.tolist(), labels, strict=True)
        ]

    def cam_target(self, shown: ShownNetwork, rows: Tensor) -> CamTarget:
        """Return the score of the true class."""
        labels = shown.data.validation.labels[rows]
        return lambda scores: scores.gather(1, labels[:, None])[:, 0]

    def predictions(self, shown: ShownNetwork, rows: Tensor) -> list[Prediction]:
        """Return the class with the highest score, and its probability."""
        best = shown.outputs(rows).double().softmax(dim=1).max(dim=1)
        labels = shown.data.validation.labels[rows].tolist()
        return [
            Prediction(f"{class_name(shown.data, number)}, {100 * share:.0f} %", number == label)
            for share, number, label in zip(
                best.values.tolist(), best.indices.tolist(), labels, strict=True
            )
        ]

    def explain(self, split: Split) -> str:
        """Say what is shown as the prediction."""
        return (
            "Under each image its class; beside it the class that each network tells, and how "
            "probable it takes that to be."
        )

    def legend(self, data: Dataset, classes: frozenset[int]) -> tuple[LegendEntry, ...]:
        """Return nothing: no class has a colour."""
        return ()
