"""Detection by a network of one's own, whose graph and what makes boxes of it are its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.base.size import Size
from nas.export.outputs import own_detection as outputs
from nas.export.tasks.detection import Detection
from nas.export.tasks.task import Judged, Outputs, Targets, at_equal_distances, largest_difference
from nas.models.own_network import (
    MOST_OBJECTS,
    boxes_of_outputs,
    image_losses_of_outputs,
)
from nas.spec.task import Task
from nas.study import detection_marks

__all__ = ["OwnDetection"]

_HELD = 256  # images that graphs are compared on, at most
_AT_ONCE = 1 << 22  # pixels
_PACKED = 1 << 22  # numbers that go along in a pack
_MOST = 100  # boxes of an image that are compared
_COLUMNS = 6


class OwnDetection(Detection):
    """The task of boxes that a network's own `predict` makes of what its forward gives.

    So figures of a graph are of what it gave, by the network's own code, which is not in a pack.

    network: None: where nothing is judged.
    size: of the images that it reads.
    """

    outputs_file: Path | None = Path(outputs.__file__)
    more_files: Mapping[str, Path] = {}

    def __init__(self, task: Task, network: nn.Module | None = None, size: Size | None = None):
        self.task, self._network, self._size = task, network, size

    def settings(self) -> Mapping[str, Any]:
        """Return nothing: the network keeps boxes by limits of its own."""
        return {}

    def most_images(self, size: Size, wanted: int) -> int:
        """Return fewer, since boxes are made of each image by itself."""
        return min(wanted, _HELD)

    def batch_size(self, size: Size) -> int:
        """Return 64, or fewer of large images."""
        return max(1, min(64, _AT_ONCE // (size.height * size.width)))

    def judge(self, outputs_: Outputs, targets: Targets) -> Judged:
        """Judge what the network's own code makes of outputs, by objects (N, M, 6).

        Losses are NaN where its own loss is not made of what forward gives.
        """
        assert self._network is not None and self._size is not None
        given, objects = torch.from_numpy(outputs_), torch.from_numpy(targets)
        like = torch.zeros(len(given), *self._size.shape)
        with torch.no_grad():
            found = boxes_of_outputs(self._network, given, like)
            losses = image_losses_of_outputs(self._network, given, like, objects)
        if losses is None:
            losses = torch.full((len(given),), torch.nan)
        marks = [
            detection_marks.detection_marks(boxes.numpy(), one)
            for boxes, one in zip(found, targets, strict=True)
        ]
        return Judged(losses.double().numpy(), self._stacked(marks, targets), _answers(found))

    def _stacked(self, marks: list[NDArray[np.float64]], targets: Targets) -> NDArray[np.float64]:
        """Return marks of as many rows for all batches, so that they go together."""
        rows = MOST_OBJECTS + min(self.task.outputs, targets.shape[1])
        return detection_marks.stack_marks([*marks, np.zeros((rows, marks[0].shape[1]))])[:-1]

    def postprocessing_ms(self, outputs_: Outputs) -> float | None:
        """Return nothing: the network's own code is not what runs on a device."""
        return None

    def comparable(self, outputs_: Outputs) -> Outputs:
        """Return outputs as they are: what their numbers mean is the network's own."""
        return outputs_

    def difference(self, outputs_: Outputs, wanted: Outputs) -> float:
        """Return the largest difference of a number."""
        return largest_difference(outputs_, wanted)

    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Take images with what is given for them, and the boxes that are made of that."""
        count = max(1, min(most, len(targets), _PACKED // scores[0].size))
        rows = at_equal_distances(len(targets), count)
        held = {"scores": scores[rows], "answers": answers[rows], "objects": targets[rows]}
        anchors = self._anchors()
        return rows, held if anchors is None else held | {"anchors": anchors.numpy()}

    def _anchors(self) -> Tensor | None:
        """Return the default boxes of a detector of torchvision's, (A, 4); None of others."""
        made = getattr(self._network, "default_boxes", None)
        if made is None or self._size is None:
            return None
        boxes: Tensor = made(torch.zeros(1, *self._size.shape))
        return boxes

    def describe_purpose(self, size: str, classes: int) -> str:
        """Say that it finds objects, by its own code."""
        return (
            f"Finds in images of {size} objects of {classes} classes (labels.txt) and their boxes; "
            "boxes are made of what the graph gives by the network's own code, which is not in "
            "this pack"
        )

    def describe_output(self) -> str:
        """Say that it is what the network's own forward gives."""
        columns = getattr(self._network, "columns", None)
        if columns is not None:
            return (
                f"(N, A, ...), of each default box: {', '.join(columns)}, as the head of "
                "torchvision's detector gives them; boxes are neither decoded nor suppressed"
            )
        return "what the network's own forward gives, (N, ...); boxes are not suppressed"

    def usage(self) -> list[str]:
        """Show how the network's own code makes boxes of what a graph gave."""
        assert self._network is not None and self._size is not None
        kind, size = type(self._network).__name__, self._size
        shown: Callable[[Tensor], list[str]] | None
        shown = getattr(self._network, "postprocessing_lines", None)
        lines = (
            [
                "detector.forward = lambda images: torch.from_numpy(given)",
                f"boxes = detector.predict(torch.zeros(1, 3, {size.height}, {size.width}))",
            ]
            if shown is None
            else shown(torch.zeros(1, *size.shape))
        )
        return [
            "",
            f"    # given: of a graph, for an image; detector: your {kind}, whose code finds boxes",
            *(f"    {line}" for line in lines),
            "",
            "samples.npz has such boxes of its images: `answers`, the best 100 of each.",
        ]

    def describe_way_back(self) -> str | None:
        """Say what boxes are in."""
        return "boxes are in pixels of what was read: undo the resizing that `fit` names"


def _answers(found: list[Tensor]) -> NDArray[np.float64]:
    """Return the best boxes of each image, (N, most, 6), filled up with boxes of class -1."""
    held = np.zeros((len(found), _MOST, _COLUMNS))
    held[..., 5] = -1
    for image, boxes in zip(held, found, strict=True):
        image[: len(boxes[:_MOST])] = boxes[:_MOST].numpy()
    return held
