"""The part of a task in a training: its loss, how images are batched, how networks are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.data import Split
from nas.study.constant_prediction import ConstantPrediction
from nas.training.batches import Batches

__all__ = ["Score", "Scorer", "TrainingTask"]


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of a network on the validation images.

    losses: (N,) one for each image or query that counts, in a fixed order, so that networks can be
        paired.
    marks: (N, ...) likewise, what the figures are made of: see `nas.study.marks`.
    figures: by name; the first is the one that stands for the task.
    suppression_ms: what it takes to keep boxes of an image, by torchvision on a CPU: the median
        over some of the images; None where there are none to keep.
    """

    losses: Tensor
    marks: NDArray[Any]
    figures: Mapping[str, float]
    suppression_ms: float | None = None

    @property
    def accuracy(self) -> float:
        """The figure that stands for the task, 0 to 1."""
        return next(iter(self.figures.values()))

    @property
    def loss(self) -> float:
        """The mean over the images."""
        return float(self.losses.mean())


class Scorer(Protocol):
    """A judge of what a network gives for the images of a split, batch after batch in order."""

    def add(self, outputs: Tensor) -> None:
        """Take the outputs for the next images, (B, ...), on any device."""
        ...

    def score(self) -> Score:
        """Return the score of all images."""
        ...


class TrainingTask(Protocol):
    """The part of a task in a training. It holds no parameters."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch: () from (B, ...) outputs and targets."""
        ...

    def targets(self, split: Split, rows: Tensor) -> Tensor:
        """Return what the loss is told of some images as they are: (B, ...)."""
        ...

    def augmented(
        self,
        batches: Batches,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice,
    ) -> tuple[Tensor, Tensor]:
        """Return images, changed at random, and what the loss is told of them as they are then.

        share: of the rows, as of `Batches.augmented`.
        """
        ...

    def scorer(self, split: Split) -> Scorer:
        """Return a judge of outputs for a split. Raises SpecError where it cannot be judged by."""
        ...

    def judged_at_once(self, split: Split) -> int:
        """Return how many images a network is given at once where it is judged."""
        ...

    def guessing_loss(self, split: Split) -> float:
        """Return the loss of whoever knows how often each answer is right, and nothing else."""
        ...

    def constant_prediction(self, split: Split) -> ConstantPrediction:
        """Return what a network is judged to be, on these images, that tells all of them the same.

        Raises SpecError where a network cannot be judged by them.
        """
        ...

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Tensor:
        """Return the rows of an epoch, (steps * batch_size,): full batches, one behind the other.

        Every epoch has len(split) // batch_size; batch_size is at most the number of images.
        """
        ...
