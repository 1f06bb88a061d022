"""Segmentation: scores of classes for each pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nas.base.size import Size
from nas.data import Split
from nas.export.outputs import segmentation as outputs
from nas.export.tasks.task import ExportTask, Judged, Outputs, Targets, at_equal_distances

__all__ = ["Segmentation"]

_HELD = 1 << 27
"""Scores of the network that are held to compare graphs with: 512 MiB."""

_AT_ONCE = 1 << 24
"""Scores of a batch: 64 MiB, and twice that where they are judged."""

_LEAST = 16
"""Images that graphs are compared on however large they are, and that go along in a pack."""

_PACKED = 1 << 22
"""Scores that go along in a pack: 16 MiB before they are compressed."""


class Segmentation(ExportTask):
    """The task of the class of each pixel."""

    outputs_file: Path | None = Path(outputs.__file__)
    agreement_phrase = outputs.ALIKE

    def most_images(self, size: Size, wanted: int) -> int:
        """Return fewer where scores of so many pixels would not fit."""
        return min(wanted, max(_LEAST, _HELD // self._scores(size)))

    def batch_size(self, size: Size) -> int:
        """Return 64, or fewer of large images."""
        return max(1, min(64, _AT_ONCE // self._scores(size)))

    def _scores(self, size: Size) -> int:
        return self.task.outputs * size.height * size.width

    def targets(self, split: Split, rows: NDArray[np.int64], size: Size) -> Targets:
        """Return masks, (N, height, width), resized by nearest neighbour."""
        assert split.annotations is not None
        masks = split.annotations[torch.from_numpy(rows)]
        wanted = (size.height, size.width)
        if masks.shape[1:] != wanted:
            scaled = functional.interpolate(masks[:, None], size=wanted, mode="nearest-exact")
            masks = scaled[:, 0]
        return np.ascontiguousarray(masks.numpy())

    def judge(self, outputs_: Outputs, targets: Targets) -> Judged:
        """Judge scores (N, classes, H, W) by masks (N, H, W)."""
        return Judged(*outputs.judge(outputs_, targets), outputs.answers(outputs_))

    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Take images with their masks and answers, and scores of every few pixels if many."""
        count, each = min(most, len(targets)), scores[0].size
        if count * each > _PACKED:
            count = max(min(count, _LEAST), _PACKED // each)
        step = math.ceil(math.sqrt(count * each / _PACKED))
        rows = at_equal_distances(len(targets), count)
        return rows, {
            "scores": scores[rows, :, ::step, ::step],
            "step": np.asarray(step),
            "answers": answers[rows],
            "masks": targets[rows],
        }

    def describe_purpose(self, size: str, classes: int) -> str:
        """Say that it tells pixels apart."""
        return (
            f"Tells for each pixel of images of {size} which of {classes} classes it is "
            f"(labels.txt), with the head {self.task.head}"
        )

    def describe_figures(self, figures: Mapping[str, float]) -> str:
        """Name both figures; of a record there is the first alone."""
        text = f"mIoU {figures['miou']:.1%}"
        if "pixel_accuracy" in figures:
            text += f", {figures['pixel_accuracy']:.1%} of the pixels right"
        return text

    def describe_output(self) -> str:
        """Say that scores are before softmax, and of all pixels."""
        return "scores (N, classes, H, W) before softmax, for each pixel of what was read"

    def usage(self) -> list[str]:
        """Show how classes of pixels are taken and drawn."""
        return [
            "",
            "    python verify.py PICTURE    # draws the classes over it: PICTURE-classes.png",
            "    python verify.py 0          # the same of the first sample, without Pillow",
            "",
            "    from outputs import answers, back, painted",
            "    classes = answers(scores)[0]  # (H, W), class numbers: lines of labels.txt from 0",
            "    whole = back(classes, picture.shape[:2], fit)  # fit: of preprocessing.json",
        ]

    def describe_way_back(self) -> str | None:
        """Say how masks do."""
        return (
            "best class of each pixel, then `back` of outputs.py: nearest neighbour to the size of "
            "the upright picture; bars are cut off (pad), what was cut off is 255 (crop)"
        )
