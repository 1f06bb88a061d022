"""What the graph gives, and how to use it: a vector of length 1 for each image.

    from outputs import nearest
    rows = nearest(vectors_of_queries, vectors_of_gallery)   # best first

Images of one identity have similar vectors: the similarity of two is their product, from -1 to 1.
Needs numpy alone.
"""

# attention-nas copies this file into packs as outputs.py: it must not import from the project.

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Identities = NDArray[np.int64]

ALIKE = "same nearest image for"
TEMPERATURE = 0.1
"""Of the softmax over similarities that queries are judged by."""

_AT_ONCE = 512
_SHOWN = 5


def similarities(queries: Vectors, gallery: Vectors) -> Vectors:
    """(Q, length), (G, length) -> (Q, G)."""
    # Rounded, since equal vectors are not equally similar to the last bit.
    return (queries.astype(np.float64) @ gallery.T.astype(np.float64)).astype(np.float32)


def nearest(queries: Vectors, gallery: Vectors) -> NDArray[np.int64]:
    """Rows of the gallery for each query, the most similar first: (Q, G)."""
    return np.argsort(-similarities(queries, gallery), axis=1, kind="stable")


def answers(vectors: Vectors) -> NDArray[np.int64]:
    """The nearest other image of each: (N, length) -> (N,)."""
    nearest = np.zeros(len(vectors), np.int64)
    for start in range(0, len(vectors), _AT_ONCE):
        similar = similarities(vectors[start : start + _AT_ONCE], vectors)
        similar[np.arange(len(similar)), start + np.arange(len(similar))] = -np.inf
        nearest[start : start + _AT_ONCE] = similar.argmax(axis=1)
    return nearest


def asking(identities: Identities) -> NDArray[np.int64]:
    """The rows that are queries with something to find; see `judge`."""
    queries = np.flatnonzero(identities[:, 2] == 1)
    right = [_relation(identities, int(query))[1].any() for query in queries]
    return queries[np.asarray(right, np.bool_)]


def judge(
    vectors: Vectors, identities: Identities
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Judge vectors (N, length) as Market-1501 does.

    Images of the query's own identity by its own camera do not count, unless cameras are not known;
    a query that then has nothing to find is left out. Of images that are equally similar those of
    others come first.

    identities: (N, 3), the identity, the camera (-1: not known), and 1 for a query, 0 for an image
        of the gallery.
    Returns minus the logarithm of what falls of a softmax over the gallery on the query's identity,
    (Q,); and the average precision, and whether the identity was the first, or among the first
    five, (Q, 3).
    """
    gallery = vectors[identities[:, 2] == 0]
    losses, marks = [], []
    for query in asking(identities):
        counts, right = _relation(identities, query)
        similar = similarities(vectors[query : query + 1], gallery)[0]
        hits = np.sort(similar[right])[::-1]
        wrong = np.sort(similar[counts & ~right])
        before = len(wrong) - np.searchsorted(wrong, hits)  # of others, in front of each
        place = np.arange(1, len(hits) + 1)
        marks.append([(place / (place + before)).mean(), before[0] < 1, before[0] < 5])
        scores = similar.astype(np.float64) / TEMPERATURE
        losses.append(_log_sum(scores[counts]) - _log_sum(scores[right]))
    return np.asarray(losses, np.float64), np.asarray(marks, np.float64).reshape(-1, 3)


def _relation(identities: Identities, query: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images of the gallery count for a query, and which are to be found."""
    identity, camera, _ = identities[query]
    gallery = identities[identities[:, 2] == 0]
    same = gallery[:, 0] == identity
    beside = (gallery[:, 1] == camera) & (camera >= 0)
    return ~(same & beside), same & ~beside


def _log_sum(scores: NDArray[np.float64]) -> float:
    return float(scores.max() + np.log(np.exp(scores - scores.max()).sum()))


def figures(marks: NDArray[np.float64]) -> dict[str, float]:
    """Means over the queries, 0 to 1."""
    average_precision, first, among_five = marks.mean(axis=0)
    return {
        "rank1": float(first),
        "map": float(average_precision),
        "rank5": float(among_five),
    }


def compare(
    infer: Callable[[slice], Vectors], samples: Mapping[str, NDArray[Any]]
) -> tuple[float, float, str, str]:
    """Compare a graph with the network on the samples.

    infer: what the graph gives for some of the samples.
    samples: images; the network's vectors as scores; identities.
    Returns the largest difference of a number, the share of images with the same nearest one, of
    what that is a share, and how good the graph is.
    """
    vectors, wanted = infer(slice(None)), samples["scores"]
    apart = float(np.abs(vectors - wanted).max())
    same = float((answers(vectors) == answers(wanted)).mean())
    marks = judge(vectors, samples["identities"])[1]
    summary = "no queries among them"
    if len(marks):
        reached = figures(marks)
        summary = (
            f"rank-1 {reached['rank1']:.1%} and mAP {reached['map']:.1%} of {len(marks)} queries"
        )
    return apart if np.isfinite(apart) else np.inf, same, f"{len(vectors)} images", summary


def show(
    vectors: Vectors,
    _picture: NDArray[np.uint8],
    name: str,
    _pack: Path,
    _fit: str,
    samples: Mapping[str, NDArray[Any]],
) -> str:
    """Say which samples are nearest to a picture."""
    similar = similarities(vectors, samples["scores"])[0]
    lines = [
        f"  sample {row}, identity {samples['identities'][row, 0]}: similarity {similar[row]:.3f}"
        for row in np.argsort(-similar, kind="stable")[:_SHOWN]
    ]
    return "\n".join([f"{name}: nearest samples", *lines])
