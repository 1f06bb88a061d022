"""Which images are shown: chosen before any network has seen them, by a fixed seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_images"]

Longs = NDArray[np.int64]


def choose_images(rows: Longs, kinds: Longs, count: int) -> Longs:
    """Return so many of some rows at random, of as many kinds as there are; fewer where few are.

    Fewer are the beginning of more.
    rows, kinds: (n,) each.
    Returns (count,).
    """
    order = np.random.default_rng(0).permutation(len(rows))
    seen: dict[int, int] = {}
    before = np.empty(len(order), dtype=np.int64)
    for place, kind in enumerate(kinds[order].tolist()):
        before[place] = seen[kind] = seen.get(kind, -1) + 1
    return rows[order[np.argsort(before, kind="stable")[:count]]]
