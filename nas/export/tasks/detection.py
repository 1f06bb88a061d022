"""Detection: boxes with scores of classes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.base.size import Size
from nas.data import Split
from nas.export.outputs import detection as outputs
from nas.export.tasks.task import ExportTask, Judged, Outputs, Targets, at_equal_distances
from nas.models.heads.default_boxes import BEYOND_BOXES
from nas.spec.suppression import SUPPRESSION
from nas.spec.task import Task
from nas.study import detection_marks
from nas.training.tasks.box_losses import BOX_LOSSES

__all__ = ["Detection"]

_HELD = 1 << 27
"""Numbers of the network that are held to compare graphs with: 512 MiB."""

_AT_ONCE = 1 << 24
_LEAST = 16
"""Images that graphs are compared on however large they are, and that go along in a pack."""

_PACKED = 1 << 22
"""Numbers that go along in a pack: 16 MiB before they are compressed."""

_A_PLACE = 1 / 32  # default boxes, about, of a pixel
_TIMED = 64  # images at most that keeping boxes is timed on
_SHOWN = 0.3  # the least score of a box that is drawn


class Detection(ExportTask):
    """The task of boxes."""

    outputs_file: Path | None = Path(outputs.__file__)
    more_files: Mapping[str, Path] = {"average_precision.py": Path(detection_marks.__file__)}
    agreement_phrase = outputs.ALIKE

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._limits = {"head": task.head, **asdict(SUPPRESSION), "shown": _SHOWN}

    def settings(self) -> Mapping[str, Any]:
        """Return which boxes are kept."""
        return {"suppression": self._limits}

    def most_images(self, size: Size, wanted: int) -> int:
        """Return fewer where what is given for so many default boxes would not fit."""
        return min(wanted, max(_LEAST, int(_HELD / self._numbers(size))))

    def batch_size(self, size: Size) -> int:
        """Return 64, or fewer of large images."""
        return max(1, min(64, int(_AT_ONCE / self._numbers(size))))

    def _numbers(self, size: Size) -> float:
        return (BEYOND_BOXES + self.task.outputs) * size.height * size.width * _A_PLACE

    def targets(self, split: Split, rows: NDArray[np.int64], size: Size) -> Targets:
        """Return objects, (N, M, 6), where they lie on images of the size."""
        assert split.annotations is not None
        objects = split.annotations[torch.from_numpy(rows)].numpy().copy()
        _, height, width, _ = split.images.shape
        scale = np.array([size.width / width, size.height / height] * 2, np.float32)
        objects[..., :4] *= scale
        return objects

    def judge(self, outputs_: Outputs, targets: Targets) -> Judged:
        """Judge boxes by objects (N, M, 6)."""
        losses = np.full(len(outputs_), np.nan)
        if not outputs.are_suppressed(outputs_):
            of_head = BOX_LOSSES[self.task.head]
            found_losses = of_head(torch.from_numpy(outputs_), torch.from_numpy(targets))
            losses = found_losses.double().numpy()
        answers = outputs.answers(outputs_, self._limits)
        found = [
            detection_marks.detection_marks(boxes[boxes[:, 5] >= 0], objects)
            for boxes, objects in zip(answers, targets, strict=True)
        ]
        # As many rows for all batches, so that they go together.
        rows = SUPPRESSION.most + min(self.task.outputs, targets.shape[1])
        nothing = np.zeros((rows, found[0].shape[1]))
        marks = detection_marks.stack_marks([*found, nothing])[:-1]
        return Judged(losses, marks, answers)

    def postprocessing_ms(self, outputs_: Outputs) -> float | None:
        """Return the median over images of what keeping boxes takes, by numpy on one thread."""
        rows = at_equal_distances(len(outputs_), _TIMED)
        times = []
        for row in rows:
            started = time.thread_time()
            outputs.kept(outputs_[row : row + 1], self._limits)
            times.append(1e3 * (time.thread_time() - started))
        return float(np.median(times))

    def agreement(self, ones: NDArray[Any], others: NDArray[Any]) -> float:
        """Return the share of the boxes of both that the other has."""
        return outputs.alike(ones, others)

    def comparable(self, outputs_: Outputs) -> Outputs:
        """Return boxes as shares of the image."""
        return outputs.comparable(outputs_)

    def difference(self, outputs_: Outputs, wanted: Outputs) -> float:
        """Return the largest difference of a number, or how far the boxes that are kept are."""
        if outputs.are_suppressed(outputs_):
            ones, others = (outputs.answers(one, self._limits) for one in (outputs_, wanted))
            return outputs.apart(ones, others, max(outputs.read_size(wanted)))
        return super().difference(outputs_, wanted)

    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Take images with what is given for them, their objects, and which boxes are kept."""
        count, each = min(most, len(targets)), scores[0].size
        if count * each > _PACKED:
            count = max(min(count, _LEAST), _PACKED // each)
        rows = at_equal_distances(len(targets), count)
        return rows, {
            "scores": outputs.comparable(scores[rows]),
            "answers": answers[rows],
            "objects": targets[rows],
            "limits": np.asarray(json.dumps(self._limits)),
        }

    def describe_purpose(self, size: str, classes: int) -> str:
        """Say that it finds objects."""
        return (
            f"Finds in images of {size} objects of {classes} classes (labels.txt) and their boxes, "
            f"with the head {self.task.head}"
        )

    def describe_figures(self, figures: Mapping[str, float]) -> str:
        """Name AP at all overlaps and at two; of a record there is the first alone."""
        text = f"AP {figures['ap']:.1%}"
        if "ap50" in figures:
            text += f", AP50 {figures['ap50']:.1%}, AP75 {figures['ap75']:.1%}"
        return text

    def describe_output(self) -> str:
        """Say what there is of each default box."""
        beside = "the background" if self.task.head == "ssdlite" else "centre-ness"
        return (
            f"(N, A, {BEYOND_BOXES} + classes), of each default box: x1, y1, x2, y2 in pixels of "
            f"what was read, a logit of {beside}, a logit of each class, the default box; boxes "
            "are not suppressed"
        )

    def usage(self) -> list[str]:
        """Show how boxes are kept and drawn."""
        return [
            "",
            "    python verify.py PICTURE    # draws boxes on it: PICTURE-boxes.png",
            "    python verify.py 0          # the same of the first sample, without Pillow",
            "",
            "    from outputs import back, kept, read_limits",
            '    limits = read_limits("preprocessing.json")',
            "    boxes = kept(given, limits)[0]  # (D, 6): x1, y1, x2, y2, score, class",
            "    whole = back(boxes, picture.shape[:2], size, fit)  # of preprocessing.json",
        ]

    def describe_way_back(self) -> str | None:
        """Say how boxes do."""
        return (
            "`kept` of outputs.py (suppression above), then `back`: to pixels of the upright "
            "picture, without what was beyond its edges"
        )
