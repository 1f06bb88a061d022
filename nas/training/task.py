"""The task that a network is trained for: its head, its loss and its metric.

Classification is the first task; the search above only sees the names of the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Classification", "Score"]


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of a network on the validation images.

    losses: (N,) one for each image, in a fixed order, so that networks can be paired.
    correct: (N,) bool, likewise: whether the highest score is the label's.
    """

    losses: Tensor
    correct: Tensor

    @property
    def accuracy(self) -> float:
        """The share of images that are told right, 0 to 1."""
        return float(self.correct.double().mean())

    @property
    def loss(self) -> float:
        """The mean over the images."""
        return float(self.losses.mean())


@dataclass(frozen=True, slots=True)
class Classification:
    """The task with one label for each image; its head is the backbone's own classifier."""

    num_classes: int

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy.

        scores: (N, num_classes).
        labels: (N,), or the shares of the classes, (N, num_classes).
        """
        return functional.cross_entropy(scores, labels)

    def score(self, scores: Tensor, labels: Tensor) -> Score:
        """Judge (N, num_classes) scores of all validation images."""
        with torch.no_grad():
            losses = functional.cross_entropy(scores.double(), labels, reduction="none")
            correct = scores.argmax(dim=1) == labels
        return Score(losses, correct)
