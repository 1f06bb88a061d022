"""Segmentation: the class of each pixel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nas.data import Split
from nas.spec.task import Task
from nas.study.constant_prediction import ConstantPrediction
from nas.study.marks import IGNORED, figures_of
from nas.training.batches import Batches
from nas.training.tasks.rows import shuffled
from nas.training.tasks.task import Score

__all__ = ["Segmentation"]

_AT_ONCE = 1 << 26  # scores that a network gives at once where it is judged: 256 MB


class Segmentation:
    """The task with the class of each pixel, of which some may not count."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the images of each one's mean cross-entropy.

        Not the mean over all pixels of a batch, which is another one wherever processes share a
        batch, or memory makes it come in two, and pixels do not count.

        outputs: scores, (B, classes, H, W).
        targets: (B, H, W) uint8.
        """
        return _losses(outputs, targets).mean()

    def targets(self, split: Split, rows: Tensor) -> Tensor:
        """Return the masks, (B, H, W)."""
        return _masks(split)[rows]

    def augmented(
        self,
        batches: Batches,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice,
    ) -> tuple[Tensor, Tensor]:
        """Return images and masks, both zoomed, placed and mirrored alike."""
        return batches.augmented_with_masks(split, rows, generator, share)

    def scorer(self, split: Split) -> SegmentationScorer:
        """Return a judge of scores for a split."""
        return SegmentationScorer(_masks(split), self.task.outputs)

    def judged_at_once(self, split: Split) -> int:
        """Return 64, or fewer of large images."""
        scores = self.task.outputs * _masks(split)[0].numel()
        return max(1, min(64, _AT_ONCE // scores))

    def guessing_loss(self, split: Split) -> float:
        """Return the loss of giving every pixel the classes' shares among all that count."""
        return float(torch.special.entr(_shares(split)).sum())

    def constant_prediction(self, split: Split) -> ConstantPrediction:
        """Return the mIoU of the commonest class everywhere, and the loss of knowing all shares."""
        shares = _shares(split)
        occur = int(torch.count_nonzero(shares))
        return ConstantPrediction(self.guessing_loss(split), float(shares.max()) / max(occur, 1))

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Tensor:
        """Return all images in random order, but for what fills no batch."""
        return shuffled(len(split), batch_size, generator)


class SegmentationScorer:
    """A judge by cross-entropy, and by how the highest scores and the classes go together.

    An image of which no pixel counts has a loss of 0 and no marks.
    masks: (N, H, W) uint8.
    """

    def __init__(self, masks: Tensor, classes: int) -> None:
        self._masks, self._classes = masks, classes
        self._losses: list[Tensor] = []
        self._marks: list[Tensor] = []
        self._judged = 0

    def add(self, outputs: Tensor) -> None:
        """Take the scores of the next images, (B, classes, H, W)."""
        masks = self._masks[self._judged : self._judged + len(outputs)].to(outputs.device)
        assert outputs.shape[2:] == masks.shape[1:], (outputs.shape, masks.shape)
        self._judged += len(outputs)
        self._losses.append(_losses(outputs, masks).cpu().double())
        self._marks.append(_marks(outputs.argmax(dim=1), masks, self._classes).cpu())

    def score(self) -> Score:
        """Judge all images."""
        marks: NDArray[np.int64] = torch.cat(self._marks).numpy()
        return Score(torch.cat(self._losses), marks, figures_of("segmentation", marks))


def _masks(split: Split) -> Tensor:
    assert split.annotations is not None
    return split.annotations


def _shares(split: Split) -> Tensor:
    """Return how many of all pixels that count are of each class: (255,), double."""
    counts = torch.zeros(IGNORED + 1, dtype=torch.long)
    for mask in _masks(split):  # not all at once: bincount makes them eight times as large
        counts += torch.bincount(mask.flatten(), minlength=len(counts))
    return counts[:IGNORED].double() / counts[:IGNORED].sum().clamp(min=1)


def _losses(outputs: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy over the pixels of each image that count: (B,)."""
    losses = functional.cross_entropy(outputs, masks.long(), ignore_index=IGNORED, reduction="none")
    return losses.sum(dim=(1, 2)) / (masks != IGNORED).sum(dim=(1, 2)).clamp(min=1)


def _marks(predicted: Tensor, masks: Tensor, classes: int) -> Tensor:
    """Count the pixels of each image and class: (B, classes, 3) int64, see `nas.study.marks`.

    predicted, masks: (B, H, W).
    """
    image = torch.arange(len(masks), device=masks.device)[:, None, None] * classes
    counted = masks != IGNORED
    true, predicted = (image + masks)[counted], (image + predicted)[counted]

    def count(cells: Tensor) -> Tensor:
        return torch.bincount(cells, minlength=len(masks) * classes)

    counts = torch.stack([count(true[true == predicted]), count(predicted), count(true)], dim=1)
    return counts.reshape(len(masks), classes, 3)
