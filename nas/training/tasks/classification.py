"""Classification: one label for each image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nas.data import Split
from nas.spec.task import Task
from nas.study.constant_prediction import ConstantPrediction
from nas.study.marks import figures_of
from nas.training.batches import Batches
from nas.training.tasks.rows import shuffled
from nas.training.tasks.task import Score

__all__ = ["Classification"]


class Classification:
    """The task with one label for each image; its head is the backbone's own classifier."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy.

        outputs: scores, (B, classes).
        targets: (B,), or the shares of the classes, (B, classes).
        """
        return functional.cross_entropy(outputs, targets)

    def targets(self, split: Split, rows: Tensor) -> Tensor:
        """Return the labels, (B,)."""
        return split.labels[rows]

    def augmented(
        self,
        batches: Batches,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice,
    ) -> tuple[Tensor, Tensor]:
        """Return images, shifted and mirrored, and their labels."""
        return batches.augmented(split, rows, generator, share), self.targets(split, rows[share])

    def scorer(self, split: Split) -> ClassificationScorer:
        """Return a judge of scores for a split."""
        return ClassificationScorer(split)

    def judged_at_once(self, split: Split) -> int:
        """Return 64."""
        return 64

    def guessing_loss(self, split: Split) -> float:
        """Return the loss of giving every image the classes' shares among the labels."""
        return float(torch.special.entr(_shares(split)).sum())

    def constant_prediction(self, split: Split) -> ConstantPrediction:
        """Return the commonest class's share, and the loss of knowing all shares."""
        return ConstantPrediction(self.guessing_loss(split), float(_shares(split).max()))

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Tensor:
        """Return all images in random order, but for what fills no batch."""
        return shuffled(len(split), batch_size, generator)


def _shares(split: Split) -> Tensor:
    """Return how often each class is the label: (classes,), double."""
    return torch.bincount(split.labels).double() / len(split)


class ClassificationScorer:
    """A judge by cross-entropy, and by whether the highest score is the label's."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._scores: list[Tensor] = []

    def add(self, outputs: Tensor) -> None:
        """Take the scores of the next images, (B, classes)."""
        self._scores.append(outputs)  # where it is: a GPU would have to be waited for

    def score(self) -> Score:
        """Judge all scores in double precision."""
        scores, labels = torch.cat(self._scores).cpu(), self._split.labels
        losses = functional.cross_entropy(scores.double(), labels, reduction="none")
        correct = (scores.argmax(dim=1) == labels).numpy()
        return Score(losses, correct, figures_of("classification", correct))
