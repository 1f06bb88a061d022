"""What a network is trained for: its head, its loss and its metric.

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
    """losses: (N,) per validation image, in a fixed order, so that networks can be paired.
    correct: (N,) bool, likewise: whether the highest score is the label's.
    """

    losses: Tensor
    correct: Tensor

    @property
    def accuracy(self) -> float:
        """Share of the images, 0 to 1."""
        return float(self.correct.double().mean())

    @property
    def loss(self) -> float:
        return float(self.losses.mean())


@dataclass(frozen=True, slots=True)
class Classification:
    """One label per image. The head of a network is its backbone's own classifier."""

    num_classes: int

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of (N, num_classes) scores and (N,) labels, or (N, num_classes)
        shares of the classes.
        """
        return functional.cross_entropy(scores, labels)

    def score(self, scores: Tensor, labels: Tensor) -> Score:
        """Judge (N, num_classes) scores of all validation images."""
        with torch.no_grad():
            losses = functional.cross_entropy(scores.double(), labels, reduction="none")
            correct = scores.argmax(dim=1) == labels
        return Score(losses, correct)
