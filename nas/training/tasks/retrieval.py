"""Retrieval: vectors by which the images of one identity are found among others."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nas.base.errors import SpecError
from nas.base.optional_package import import_optional
from nas.data import Split
from nas.spec.task import Task
from nas.study.constant_prediction import ConstantPrediction
from nas.study.marks import figures_of
from nas.training.batches import Batches
from nas.training.tasks.rows import together
from nas.training.tasks.task import Score

__all__ = ["Retrieval", "gallery_relation"]

_TEMPERATURE = 0.1
"""Of the softmax over similarities, in training (arXiv:2004.11362) and where queries are judged."""

_CHANCE_SPREAD = 2.0  # standard errors that rank-1 of vectors that say nothing may be lucky by

_AT_ONCE = 1 << 22  # similarities, in double precision


class Retrieval:
    """The task of vectors, of which those of one identity have the smallest angles between them.

    Raises SpecError where the package of its losses is not here.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        # It needs no threshold, no margin and no mining, its form is that of a query's loss, and it
        # learns at low rates, as trained weights want them. Of a small MobileNetV2 after 150 steps
        # of 32 images on 20 faces of the ORL, rank-1 on 20 others (two seeds) was .71 with it, .43
        # with multi-similarity and .40 with batch-hard triplets at a rate of .05, and .63, .74, .69
        # at .2. At a temperature of .05 it was .62 and .13.
        losses = import_optional(
            "pytorch_metric_learning.losses",
            "SupConLoss",
            "retrieval",
            "retrieval is trained by the package pytorch-metric-learning",
        )
        self._loss = losses.SupConLoss(temperature=_TEMPERATURE)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the supervised contrastive loss, arXiv:2004.11362, of cosine similarities.

        outputs: vectors, (B, length).
        targets: identities, (B,).
        """
        loss: Tensor = self._loss(outputs, targets)
        return loss

    def targets(self, split: Split, rows: Tensor) -> Tensor:
        """Return the identities, (B,)."""
        return split.labels[rows]

    def augmented(
        self,
        batches: Batches,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice,
    ) -> tuple[Tensor, Tensor]:
        """Return images, shifted and mirrored, and their identities."""
        return batches.augmented(split, rows, generator, share), self.targets(split, rows[share])

    def scorer(self, split: Split) -> RetrievalScorer:
        """Return a judge of the vectors of a split's queries and gallery.

        Raises SpecError where no query has anything to find.
        """
        return RetrievalScorer(split)

    def judged_at_once(self, split: Split) -> int:
        """Return 64."""
        return 64

    def guessing_loss(self, split: Split) -> float:
        """Return the loss of finding all images alike, each asked for among all others."""
        _, pictures = np.unique(split.labels.numpy(), return_counts=True)
        several = pictures[pictures > 1]
        if not len(several):
            return 0.0
        return float(np.average(-np.log((several - 1) / (len(split) - 1)), weights=several))

    def constant_prediction(self, split: Split) -> ConstantPrediction:
        """Return the most that chance gives, and the loss, of vectors that are all alike.

        Vectors that are alike but for rounding have an order, which is as good as a random one.
        Raises SpecError where no query has anything to find.
        """
        chances = RetrievalScorer(split).chances()
        error = (chances * (1 - chances)).sum().sqrt() / len(chances)
        most = float(chances.mean() + _CHANCE_SPREAD * error)
        return ConstantPrediction(float(-chances.log().mean()), most)

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Tensor:
        """Return batches of several identities with several pictures each."""
        return together(split.labels, batch_size, generator)


class RetrievalScorer:
    """A judge by the cosine similarity of each query to the images of the gallery.

    As Market-1501 has it (Zheng et al., 2015): images of the query's own identity by its own camera
    do not count, unless cameras are not known; a query that then has nothing to find is left out.
    Of images that are equally similar those of others come first, so that vectors that are all
    alike earn nothing by the order of the gallery.
    """

    def __init__(self, split: Split) -> None:
        assert split.annotations is not None
        asks = split.annotations[:, 1]
        self._split = split
        self._queries, self._gallery = (torch.nonzero(asks == role)[:, 0] for role in (1, 0))
        found = [self._relation(rows)[1].any(dim=1) for rows in self._parts(self._queries)]
        self._queries = self._queries[torch.cat(found)] if found else self._queries
        if not len(self._queries):
            raise SpecError(
                "no query has an image of its identity in the gallery, by another camera where "
                "cameras are known"
            )
        self._vectors: list[Tensor] = []

    def add(self, outputs: Tensor) -> None:
        """Take the vectors of the next images, (B, length)."""
        self._vectors.append(functional.normalize(outputs.cpu().double(), dim=1).float())

    def score(self) -> Score:
        """Judge all queries."""
        vectors = torch.cat(self._vectors)
        gallery = vectors[self._gallery].double()
        losses, marks = [], []
        for rows in self._parts(self._queries):
            # Rounded, since equal vectors are not equally similar to the last bit.
            similar = (vectors[rows].double() @ gallery.T).float()
            counts, right = self._relation(rows)
            losses.append(_query_losses(similar.double(), counts, right))
            marks.append(_query_marks(similar, counts, right))
        table: NDArray[np.float64] = torch.cat(marks).numpy()
        return Score(torch.cat(losses), table, figures_of("retrieval", table))

    def chances(self) -> Tensor:
        """Return how likely each query's first image is right in a random order: (Q,) double."""
        shares = []
        for rows in self._parts(self._queries):
            counts, right = self._relation(rows)
            shares.append(right.sum(dim=1).double() / counts.sum(dim=1))
        return torch.cat(shares)

    def _parts(self, queries: Tensor) -> list[Tensor]:
        """Return the queries in parts, so that similarities to all of the gallery fit."""
        size = max(1, _AT_ONCE // max(1, len(self._gallery)))
        return [queries[start : start + size] for start in range(0, len(queries), size)]

    def _relation(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return which images of the gallery count for queries, and which are to be found.

        Both (Q, G).
        """
        return gallery_relation(self._split, queries, self._gallery)


def gallery_relation(split: Split, queries: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Return which images of a gallery count for queries, and which are to be found.

    queries, gallery: rows of the split, (Q,) and (G,).
    Both (Q, G) bool.
    """
    assert split.annotations is not None
    cameras = split.annotations[:, 0]
    same = split.labels[queries][:, None] == split.labels[gallery]
    camera = cameras[queries][:, None]
    beside = (camera == cameras[gallery]) & (camera >= 0)
    return ~(same & beside), same & ~beside


def _query_losses(similar: Tensor, counts: Tensor, right: Tensor) -> Tensor:
    """Return minus the logarithm of the softmax that falls on what is to be found: (Q,).

    All (Q, G).
    """
    scores = similar / _TEMPERATURE
    all_of, of_right = (scores.masked_fill(~those, -torch.inf) for those in (counts, right))
    return all_of.logsumexp(dim=1) - of_right.logsumexp(dim=1)


def _query_marks(similar: Tensor, counts: Tensor, right: Tensor) -> Tensor:
    """Return average precision, and whether one was the first or among five: (Q, 3) double.

    All (Q, G).
    """
    wrong = similar.masked_fill(~counts | right, -torch.inf).sort(dim=1).values
    most = int(right.sum(dim=1).max())
    hits = similar.masked_fill(~right, -torch.inf).topk(most, dim=1).values  # the best first
    # How many wrong ones come before each of them.
    before = wrong.shape[1] - torch.searchsorted(wrong, hits.contiguous())
    place = torch.arange(1, most + 1)
    precision = (place / (place + before).double()).masked_fill(hits == -torch.inf, 0.0)
    average = precision.sum(dim=1) / right.sum(dim=1)
    first = before[:, 0]
    return torch.stack([average, (first < 1).double(), (first < 5).double()], dim=1)
