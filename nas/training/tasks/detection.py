"""Detection: where objects are in an image, and of what class each is."""

from __future__ import annotations

import math
from statistics import median

import torch
from torch import Tensor

from nas.data import Split
from nas.models.heads.default_boxes import BEYOND_BOXES
from nas.spec.task import Task
from nas.study.constant_prediction import ConstantPrediction
from nas.study.detection_marks import detection_marks, stack_marks
from nas.study.marks import figures_of
from nas.training.batches import Batches
from nas.training.suppression import suppressed, suppression_times
from nas.training.tasks.box_losses import BOX_LOSSES
from nas.training.tasks.rows import shuffled
from nas.training.tasks.task import Score

__all__ = ["Detection"]

_AT_ONCE = 1 << 25  # numbers that a network gives at once where it is judged: 128 MB
_A_PLACE = 1 / 32  # default boxes, about, of a pixel
_TIMED = 4  # images of each batch that keeping boxes is timed on

_BOXES_OFF = 4.0
"""The loss of boxes that are told without looking: a smooth L1 of one in each of four numbers."""

_FCOS_GUESSING = 1.0 + math.log(2) + 0.8
"""No overlap, a centre-ness of a half, and the focal loss of telling each class one in ten."""


class Detection:
    """The task of boxes. A loss is of each image, in training as in validation, so that networks
    are paired by image and batches may come in parts.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._losses = BOX_LOSSES.get(task.head)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the images of each one's loss.

        outputs: (B, A, 9 + classes), see `nas.models.heads.default_boxes`.
        targets: (B, M, 6).
        """
        assert self._losses is not None, "a network of one's own brings its loss"
        return self._losses(outputs, targets).mean()

    def targets(self, split: Split, rows: Tensor) -> Tensor:
        """Return the objects, (B, M, 6)."""
        return _objects(split)[rows]

    def augmented(
        self,
        batches: Batches,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice,
    ) -> tuple[Tensor, Tensor]:
        """Return images and objects, both zoomed, placed and mirrored alike."""
        return batches.augmented_with_boxes(split, rows, generator, share)

    def scorer(self, split: Split) -> DetectionScorer:
        """Return a judge of boxes for a split."""
        return DetectionScorer(split, self.task.head)

    def judged_at_once(self, split: Split) -> int:
        """Return 64, or fewer of large images."""
        _, height, width, _ = split.images.shape
        numbers = (BEYOND_BOXES + self.task.outputs) * height * width * _A_PLACE
        return max(1, min(64, int(_AT_ONCE / numbers)))

    def guessing_loss(self, split: Split) -> float:
        """Return about the loss of saying the same of all default boxes."""
        if self.task.head == "fcos":
            return _FCOS_GUESSING
        classes = _objects(split)[..., 4].flatten()
        shares = torch.bincount(classes[classes >= 0].long()).double()
        shares = shares / shares.sum().clamp(min=1)
        # Of four boxes that are told of one is for an object.
        of_class = float(torch.special.entr(shares).sum()) - math.log(1 / 4)
        return of_class - 3 * math.log(3 / 4) + _BOXES_OFF

    def constant_prediction(self, split: Split) -> ConstantPrediction:
        """Return the AP of equal boxes in all images, which is next to nothing, and the loss."""
        guessing = None if self._losses is None else self.guessing_loss(split)
        return ConstantPrediction(guessing, 0.0)

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Tensor:
        """Return all images in random order, but for what fills no batch."""
        return shuffled(len(split), batch_size, generator)


class DetectionScorer:
    """A judge by the loss of training, and by average precision after suppression."""

    def __init__(self, split: Split, head: str) -> None:
        self._objects = _objects(split)
        self._size = (split.images.shape[1], split.images.shape[2])
        self._head = head
        self._losses: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._times: list[float] = []

    def add(self, outputs: Tensor) -> None:
        """Take what is said of the next images, (B, A, 9 + classes)."""
        judged = len(self._kept)
        objects = self._objects[judged : judged + len(outputs)].to(outputs.device)
        self._losses.append(BOX_LOSSES[self._head](outputs, objects).cpu().double())
        self._kept += [boxes.cpu() for boxes in suppressed(outputs, self._head, self._size)]
        self._times += suppression_times(outputs[:_TIMED], self._head, self._size)

    def score(self) -> Score:
        """Judge all images."""
        marks = stack_marks(
            [
                detection_marks(boxes.numpy(), objects.numpy())
                for boxes, objects in zip(self._kept, self._objects, strict=True)
            ]
        )
        losses, figures = torch.cat(self._losses), figures_of("detection", marks)
        return Score(losses, marks, figures, suppression_ms=median(self._times))


def _objects(split: Split) -> Tensor:
    assert split.annotations is not None
    return split.annotations
