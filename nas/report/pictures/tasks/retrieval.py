"""Retrieval: a query, another image of its identity, and the five nearest of the gallery."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.data import Dataset, Split
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks.task import (
    CamTarget,
    LegendEntry,
    Longs,
    Picture,
    Prediction,
    class_name,
    pixels_of,
)
from nas.training.tasks.retrieval import gallery_relation

__all__ = ["RetrievalPictures"]

_SHOWN = 5
_GALLERY = 200
"""Images at most that the nearest are found among, so that a page takes seconds: four networks at
256x128 pixels see 70 images a second on a core."""


class RetrievalPictures:
    """Pictures of queries and of what was found for them."""

    layer = "last"
    towards = "the similarity to the first match of the gallery"

    def choices(self, split: Split) -> tuple[Longs, Longs]:
        """Return the queries that have something to find, and their identities."""
        queries, gallery = _roles(split)
        _, right = gallery_relation(split, queries, gallery)
        rows = queries[right.any(dim=1)].numpy()
        return rows, split.labels.numpy()[rows]

    def truths(self, data: Dataset, rows: Tensor) -> list[tuple[Picture, ...]]:
        """Return each query with its first match, in the order of the gallery."""
        split = data.validation
        return [
            (
                Picture(pixels_of(data, row), class_name(data, int(split.labels[row]))),
                Picture(pixels_of(data, match), "the same"),
            )
            for row, match in zip(rows.tolist(), _matches(split, rows).tolist(), strict=True)
        ]

    def cam_target(self, shown: ShownNetwork, rows: Tensor) -> CamTarget:
        """Return the cosine similarity to the first match, which is the same for all networks."""
        matches = shown.outputs(_matches(shown.data.validation, rows)).clone()
        return lambda vectors: functional.cosine_similarity(vectors, matches)

    def predictions(self, shown: ShownNetwork, rows: Tensor) -> list[Prediction]:
        """Return the five nearest images that count, the nearest first."""
        data, split = shown.data, shown.data.validation
        gallery = _gallery(split, rows)
        queries, found = (functional.normalize(shown.outputs(some)) for some in (rows, gallery))
        counts, right = gallery_relation(split, rows, gallery)
        similar = (queries @ found.T).masked_fill(~counts, -torch.inf)
        predicted: list[Prediction] = []
        for these, countable, rights in zip(similar, counts, right, strict=True):
            shows = min(_SHOWN, int(countable.sum()))
            nearest = these.topk(shows).indices
            pictures = tuple(
                Picture(
                    pixels_of(data, int(gallery[place])),
                    "right" if rights[place] else "wrong",
                    bool(rights[place]),
                )
                for place in nearest.tolist()
            )
            count = sum(picture.right for picture in pictures)
            possible = min(shows, int(rights.sum()))
            predicted.append(Prediction(f"{count} of {possible} right", pictures=pictures))
        return predicted

    def explain(self, split: Split) -> str:
        """Say what is shown as the prediction."""
        images = len(_roles(split)[1])
        among = "the gallery" if images <= _GALLERY else f"{_GALLERY} of {images} in the gallery"
        text = (
            "Each query with another image of its identity, and what each network finds nearest "
            f"among {among}, the nearest first; those of the same identity are framed."
        )
        assert split.annotations is not None
        if (split.annotations[:, 0] >= 0).any():
            text += " Images of the identity by the query's own camera do not count."
        return text

    def legend(self, data: Dataset, classes: frozenset[int]) -> tuple[LegendEntry, ...]:
        """Return nothing: no class has a colour."""
        return ()


def _roles(split: Split) -> tuple[Tensor, Tensor]:
    """Return the rows of queries and of the gallery."""
    assert split.annotations is not None
    asks = split.annotations[:, 1]
    return torch.nonzero(asks == 1)[:, 0], torch.nonzero(asks == 0)[:, 0]


def _matches(split: Split, rows: Tensor) -> Tensor:
    """Return for each query the first row of the gallery that is to be found."""
    _, gallery = _roles(split)
    _, right = gallery_relation(split, rows, gallery)
    return gallery[right.int().argmax(dim=1)]


def _gallery(split: Split, rows: Tensor) -> Tensor:
    """Return the rows that are looked at: all that are to be found, and others at random."""
    _, gallery = _roles(split)
    if len(gallery) <= _GALLERY:
        return gallery
    _, right = gallery_relation(split, rows, gallery)
    wanted = right.any(dim=0).numpy()
    order = np.random.default_rng(0).permutation(len(gallery))
    first = order[np.argsort(~wanted[order], kind="stable")][: max(_GALLERY, int(wanted.sum()))]
    return gallery[torch.from_numpy(np.sort(first))]
