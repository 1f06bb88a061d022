"""Images of identities: which pictures ask, which are asked, and how identities are divided.

Those of training, validation and test are disjoint. A query is answered by the pictures of its
identity that another camera took, where cameras are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.data.images import Images

__all__ = [
    "NOBODY",
    "UNKNOWN_CAMERA",
    "cut_identities",
    "judged",
    "numbered_behind",
    "taught",
    "with_cameras",
]

NOBODY = -1
"""The identity of pictures in a gallery that no query asks for."""

UNKNOWN_CAMERA = -1

Numbers = NDArray[np.int64]


def with_cameras(images: Images, cameras: Numbers, queries: Numbers | None = None) -> Images:
    """Return images with their cameras, and whether they are queries: none, where that is not said.

    cameras, queries: (N,).
    """
    asked = np.zeros_like(cameras) if queries is None else queries
    return replace(images, annotations=np.stack([cameras, asked], axis=1).astype(np.int64))


def taught(images: Images, names: Sequence[str], source: str) -> tuple[tuple[str, ...], Images]:
    """Return the identities that have two pictures or more, and their images, numbered anew.

    An identity with one picture teaches nothing of what it has in common with others of it; how
    many are left out is noted.
    Raises SpecError for fewer than two identities.
    """
    counts = np.bincount(images.labels, minlength=len(names))
    enough = counts > 1
    if enough.sum() < 2:
        raise SpecError(
            f"data {source!r}: {enough.sum()} of {(counts > 0).sum()} identities to train on have "
            "two pictures or more; at least 2 are needed; add some"
        )
    kept = images.only(np.flatnonzero(enough[images.labels]))
    kept = replace(kept, labels=(np.cumsum(enough) - 1)[kept.labels].astype(np.int64))
    left = tuple(names[int(number)] for number in np.flatnonzero(enough))
    gone = int((counts == 1).sum())
    if not gone:
        return left, kept
    note = f"left out of training: {gone} identities with one picture each"
    return left, replace(kept, notes=(*kept.notes, note))


def numbered_behind(images: Images, count: int) -> Images:
    """Return images whose identities are numbered from `count` on."""
    _, numbers = np.unique(images.labels[images.labels != NOBODY], return_inverse=True)
    labels = images.labels.copy()
    labels[labels != NOBODY] = numbers + count
    return replace(images, labels=labels)


def judged(images: Images, source: str) -> Images:
    """Return images with queries chosen among them, all others being the gallery.

    One picture of each identity and camera, the first, asks; of an identity without cameras one.
    None asks that would leave another without an answer: an identity with one picture, or one
    camera, is in the gallery alone.
    source: in errors.
    Raises SpecError where none can ask.
    """
    assert images.annotations is not None
    cameras = images.annotations[:, 0]
    queries = np.zeros(len(images), dtype=np.int64)
    for identity in np.unique(images.labels[images.labels != NOBODY]):
        rows = np.flatnonzero(images.labels == identity)
        queries[rows[_asking(cameras[rows])]] = 1
    if not queries.any():
        raise SpecError(
            f"data {source!r}: no identity to validate or test on has two pictures (by two "
            "cameras, where they are known), one to ask by and one to find; add some"
        )
    return with_cameras(images, cameras, queries)


def _asking(cameras: Numbers) -> list[int]:
    """Return which pictures of an identity ask, so that each is answered by one that does not."""
    asking: list[int] = []
    for camera in np.unique(cameras):
        tried = [*asking, int(np.flatnonzero(cameras == camera)[0])]
        gallery = np.delete(cameras, tried)
        unknown = cameras[tried] == UNKNOWN_CAMERA
        answered = [(gallery != cameras[row]).any() for row in tried]
        if len(gallery) and (unknown | answered).all():
            asking = tried
    return asking


def cut_identities(
    images: Images, classes: Sequence[str], share: float, seed: int, source: str
) -> tuple[tuple[str, ...], Images, Images]:
    """Cut off a share of the identities.

    Returns the names of those kept, their images, and the images of the others, queries chosen,
    whose identities are numbered behind those.
    Raises SpecError for fewer than four identities with two pictures or more.
    """
    counts = np.bincount(images.labels, minlength=len(classes))
    order = np.random.default_rng(seed).permutation(np.flatnonzero(counts > 1))
    if len(order) < 4:
        raise SpecError(
            f"data {source!r}: {len(order)} of {len(classes)} identities have two pictures or "
            "more; at least 4 are needed, two of them for validation; add some"
        )
    size = min(max(2, round(share * len(order))), len(order) - 2)
    held = np.isin(images.labels, order[:size])
    names, train = taught(images.only(np.flatnonzero(~held)), classes, source)
    others = judged(images.only(np.flatnonzero(held)), source)
    return names, train, numbered_behind(others, len(names))
