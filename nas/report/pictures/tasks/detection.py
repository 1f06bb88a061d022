"""Detection: an image, and its objects in boxes as they are and as they are predicted."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from torch import Tensor

from nas.data import Dataset, Split
from nas.models.heads.default_boxes import Parts
from nas.models.task_network import task_of
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks.task import (
    CamTarget,
    LegendEntry,
    Longs,
    Picture,
    Prediction,
    class_colour,
    class_name,
    pixels_of,
)
from nas.study.detection_marks import box_overlaps
from nas.training.objective import boxes_in
from nas.training.tasks.box_losses import matches

__all__ = ["DetectionPictures", "largest", "objects_of"]

Boxes = NDArray[np.float64]

_FOUND = 0.5  # the overlap from which on an object is found
_THICK = 160  # pixels of a side for each pixel of a line


class DetectionPictures:
    """Pictures of objects in boxes."""

    layer = "finest"
    towards = "the mean score of the class named below, of the default boxes that learn its object"

    def choices(self, split: Split) -> tuple[Longs, Longs]:
        """Return the images that show an object of their label's class."""
        objects, labels = objects_of(split), split.labels
        of_label = (objects[..., 4] == labels[:, None]) & (objects[..., 5] == 0)
        rows = torch.nonzero(of_label.any(dim=1))[:, 0]
        return rows.numpy(), labels[rows].numpy()

    def truths(self, data: Dataset, rows: Tensor) -> list[tuple[Picture, ...]]:
        """Return each image with the class that maps are towards, and its objects in boxes."""
        objects, labels = objects_of(data.validation), data.validation.labels
        return [
            (
                Picture(pixels_of(data, row), f"with {class_name(data, int(labels[row]))}"),
                _outlined(data, row, _there(objects[row]), "truth"),
            )
            for row in rows.tolist()
        ]

    def cam_target(self, shown: ShownNetwork, rows: Tensor) -> CamTarget:
        """Return the mean score of the label's class where its largest object is learnt."""
        split = shown.data.validation
        labels = split.labels[rows]
        learnt = largest(objects_of(split)[rows], labels)
        head = task_of(shown.network).head

        def mean_score(outputs: Tensor) -> Tensor:
            places = (matches(outputs.detach(), learnt, head) >= 0).float()
            mine = Parts.of(outputs).logits[torch.arange(len(labels)), :, labels]
            return (mine * places).sum(dim=1) / places.sum(dim=1).clamp(min=1)

        return mean_score

    def predictions(self, shown: ShownNetwork, rows: Tensor) -> list[Prediction]:
        """Return the best boxes, as many as there are objects, and how many of these they find."""
        data = shown.data
        objects = objects_of(data.validation)
        predicted: list[Prediction] = []
        for row in rows.tolist():
            with torch.no_grad():
                images = shown.batch(torch.tensor([row]))
                (kept,) = boxes_in(shown.network, images, task_of(shown.network))
            there = _there(objects[row])
            boxes = kept[: len(there)].double().numpy()
            text = f"{_found(boxes, there)} of {len(there)} found"
            predicted.append(
                Prediction(text, pictures=(_outlined(data, row, boxes[:, [0, 1, 2, 3, 5]]),))
            )
        return predicted

    def explain(self, split: Split) -> str:
        """Say what is shown as the prediction."""
        return (
            "Each image with its objects in boxes, in the colours of their classes, as they are "
            "and as each network tells them: as many boxes as there are objects, those of the "
            f"highest scores. An object is found where one of its class meets it by {_FOUND:.0%} "
            "of both."
        )

    def legend(self, data: Dataset, classes: frozenset[int]) -> tuple[LegendEntry, ...]:
        """Return the classes by their numbers."""
        return tuple(
            LegendEntry(to_hex(class_colour(number)), class_name(data, number))
            for number in sorted(classes)
        )


def objects_of(split: Split) -> Tensor:
    """Return the objects of each image, (N, M, 6)."""
    assert split.annotations is not None
    return split.annotations


def largest(objects: Tensor, labels: Tensor) -> Tensor:
    """Return of the objects of images (B, M, 6) the largest of their label: (B, 1, 6)."""
    areas = (objects[..., 2] - objects[..., 0]) * (objects[..., 3] - objects[..., 1])
    counts = (objects[..., 4] == labels[:, None]) & (objects[..., 5] == 0)
    best = areas.masked_fill(~counts, -1).argmax(dim=1)
    return objects[torch.arange(len(best)), best][:, None]


def _there(objects: Tensor) -> Boxes:
    """Return the objects of an image that count: (M, 5), the class last."""
    kept = objects[(objects[:, 4] >= 0) & (objects[:, 5] == 0)]
    there: Boxes = kept[:, :5].double().numpy()
    return there


def _found(boxes: Boxes, there: Boxes) -> int:
    """Count the objects that boxes find, the best box first and each one object alone."""
    meets = box_overlaps(boxes, there) * (boxes[:, 5][:, None] == there[:, 4])
    found = 0
    for row in meets:
        if row.size and row.max() >= _FOUND:
            meets[:, row.argmax()] = 0
            found += 1
    return found


def _outlined(data: Dataset, row: int, boxes: Boxes, caption: str = "told") -> Picture:
    """Return an image with boxes (D, 5) in the colours of their classes, the first on top."""
    pixels = pixels_of(data, row).copy()
    height, width, _ = pixels.shape
    thick = max(1, round(min(height, width) / _THICK))
    for box in boxes[::-1]:
        left, top, right, bottom = (round(float(value)) for value in box[:4])
        colour = np.round(255 * np.array(class_colour(int(box[4])))).astype(np.uint8)
        rows, columns = slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
        for line in (left, max(left, right - thick)):
            pixels[rows, line : line + thick] = colour
        for line in (top, max(top, bottom - thick)):
            pixels[line : line + thick, columns] = colour
    return Picture(pixels, caption, classes=frozenset(int(box[4]) for box in boxes))
