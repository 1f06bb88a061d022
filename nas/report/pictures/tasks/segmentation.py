"""Segmentation: an image, and its classes in colours as they are and as they are predicted."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_hex
from torch import Tensor

from nas.data import IGNORED, Dataset, Split
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks.task import (
    CamTarget,
    LegendEntry,
    Longs,
    Picture,
    Pixels,
    Prediction,
    class_colour,
    class_name,
    pixels_of,
)
from nas.study.marks import figures_of, pixel_marks

__all__ = ["SegmentationPictures"]

_NOTHING = frozenset({"background", "_background_", "bg", "void", "unlabeled"})
"""Classes that are left without a colour, by their names in lower case."""

_LOOKED_AT = 500
"""Masks at most, at random, among which images are chosen: all of a data set may be gigabytes."""

_COLOUR = 0.6  # of an overlay; the rest is the image


class SegmentationPictures:
    """Pictures of the class of each pixel."""

    layer = "last"
    towards = "the mean score of the class that is named below, in its mask"

    def choices(self, split: Split) -> tuple[Longs, Longs]:
        """Return the images that show their label's class: the rarest of those in the mask."""
        masks, labels = _masks(split), split.labels.numpy()
        some = np.random.default_rng(0).permutation(len(split))[:_LOOKED_AT]
        shows = [bool((masks[row] == labels[row]).any()) for row in some.tolist()]
        rows = np.sort(some[shows])
        return rows, labels[rows]

    def truths(self, data: Dataset, rows: Tensor) -> list[tuple[Picture, ...]]:
        """Return each image with the class that maps are towards, and its classes in colours."""
        masks, labels = _masks(data.validation), data.validation.labels
        return [
            (
                Picture(pixels_of(data, row), f"with {class_name(data, int(labels[row]))}"),
                _overlay(data, row, masks[row].numpy(), "truth"),
            )
            for row in rows.tolist()
        ]

    def cam_target(self, shown: ShownNetwork, rows: Tensor) -> CamTarget:
        """Return the mean score of the label's class over its pixels."""
        split = shown.data.validation
        labels, masks = split.labels[rows], _masks(split)[rows]
        places = (masks == labels[:, None, None]).float()

        def mean_score(scores: Tensor) -> Tensor:
            mine = scores[torch.arange(len(labels)), labels]
            return (mine * places).sum(dim=(1, 2)) / places.sum(dim=(1, 2)).clamp(min=1)

        return mean_score

    def predictions(self, shown: ShownNetwork, rows: Tensor) -> list[Prediction]:
        """Return the classes with the highest scores in colours."""
        data, masks = shown.data, _masks(shown.data.validation)
        predicted: list[Prediction] = []
        for row in rows.tolist():  # scores of many classes at full size fill memory
            scores = shown.outputs(torch.tensor([row]))
            classes = scores[0].argmax(dim=0).to(torch.uint8).numpy()
            marks = pixel_marks(classes, masks[row].numpy(), scores.shape[1])
            miou = figures_of("segmentation", marks[None])["miou"]
            picture = _overlay(data, row, classes, "told")
            predicted.append(Prediction(f"mIoU {100 * miou:.0f} %", pictures=(picture,)))
        return predicted

    def explain(self, split: Split) -> str:
        """Say what is shown as the prediction."""
        return (
            "Each image with its classes in colours, as they are and as each network tells them; "
            "mIoU here is of the one image."
        )

    def legend(self, data: Dataset, classes: frozenset[int]) -> tuple[LegendEntry, ...]:
        """Return the classes by their numbers."""
        return tuple(
            LegendEntry(
                to_hex(class_colour(number)),
                "does not count" if number == IGNORED else class_name(data, number),
            )
            for number in sorted(classes)
        )


def _masks(split: Split) -> Tensor:
    assert split.annotations is not None
    return split.annotations


def _overlay(data: Dataset, row: int, classes: Pixels, caption: str) -> Picture:
    """Return an image with its classes laid over it in colours. classes: (H, W)."""
    pixels = pixels_of(data, row)
    names = [name.lower() for name in data.classes]
    drawn = [
        number
        for number in np.unique(classes).tolist()
        if number >= len(names) or names[number] not in _NOTHING
    ]
    laid = pixels.astype(np.float64)
    for number in drawn:
        place, colour = classes == number, 255 * np.array(class_colour(number))
        laid[place] = (1 - _COLOUR) * laid[place] + _COLOUR * colour
    return Picture(laid.round().astype(np.uint8), caption, classes=frozenset(drawn))
