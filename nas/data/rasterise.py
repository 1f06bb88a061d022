"""Areas of COCO annotations as pixels: polygons and run lengths.

Equal to pycocotools to the pixel, by the steps of its maskApi.c; without it, images need no
compiled package and are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_of"]

_FINER = 5  # points on an edge for each pixel
_MOST_BITS = 60  # of a run length in a text; a longer one is none of an image


def area_of(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Return where an annotation lies: (height, width).

    segmentation: a list of polygons, each x1, y1, x2, y2, ... in pixels; or an object with `size`
        and `counts`, runs from column to column, as numbers or packed into a text.
    Raises ValueError for what is neither.
    """
    if isinstance(segmentation, dict):
        return _runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise ValueError("its segmentation is neither polygons nor run lengths")
    area = np.zeros((height, width), dtype=np.bool_)
    for polygon in segmentation:
        area |= _polygon(polygon, height, width)
    return area


def _polygon(polygon: Any, height: int, width: int) -> NDArray[np.bool_]:
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 1 or points.size < 6 or points.size % 2 or not np.isfinite(points).all():
        raise ValueError("a polygon is no list of three or more points x, y")
    if np.abs(points).max() > 1e6:
        raise ValueError("a polygon has a point that lies far outside")
    # int() in C cuts off towards 0.
    fine = np.trunc(points.reshape(-1, 2) * _FINER + 0.5).astype(np.int64)
    around = np.concatenate([fine, fine[:1]])
    edges = [_edge(*start, *end) for start, end in zip(around[:-1], around[1:], strict=True)]
    x, y = np.concatenate(edges, axis=1)
    # Where the outline crosses from column to column of fine pixels, and that is the middle of one.
    crosses = np.flatnonzero(x[1:] != x[:-1])
    before, after = x[crosses], x[crosses + 1]
    column = (np.where(after < before, after, after - 1) + 0.5) / _FINER - 0.5
    kept = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    row = (np.minimum(y[crosses], y[crosses + 1]) + 0.5) / _FINER - 0.5
    row = np.ceil(np.clip(row, 0, height))
    places = (column[kept] * height + row[kept]).astype(np.int64)
    flips = np.bincount(places, minlength=height * width + 1)[: height * width]
    return _by_columns(np.cumsum(flips) % 2 == 1, height, width)


def _edge(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.int64]:
    """Return the points of an edge, (2, n), along its longer side."""
    across, along = abs(x1 - x0), abs(y1 - y0)
    lies = across >= along
    flipped = x0 > x1 if lies else y0 > y1
    if flipped:
        x0, y0, x1, y1 = x1, y1, x0, y0
    steps = np.arange(max(across, along) + 1)
    if flipped:
        steps = steps[::-1]
    if lies:
        slope = (y1 - y0) / across if across else 0.0
        return np.stack([steps + x0, np.trunc(y0 + slope * steps + 0.5).astype(np.int64)])
    slope = (x1 - x0) / along
    return np.stack([np.trunc(x0 + slope * steps + 0.5).astype(np.int64), steps + y0])


def _runs(packed: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    counts, size = packed.get("counts"), packed.get("size")
    if size != [height, width]:
        raise ValueError(f"its run lengths are of size {size}, and its image of {height}, {width}")
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(
        isinstance(length, int) and length >= 0 for length in lengths
    ):
        raise ValueError("its run lengths are no whole numbers")
    if sum(lengths) != height * width:
        raise ValueError(f"its run lengths are {sum(lengths)} pixels of {height * width}")
    inside = np.arange(len(lengths)) % 2 == 1
    return _by_columns(np.repeat(inside, lengths), height, width)


def _unpacked(text: str) -> list[int]:
    """Return the run lengths in a text: five bits a character, from the third on as differences."""
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > _MOST_BITS:
            raise ValueError("its run lengths are packed in an unknown way")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths


def _by_columns(pixels: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    return pixels.reshape(width, height).T
