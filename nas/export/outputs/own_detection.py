"""What the graph gives: the numbers of a detector's own forward, of which its own code makes boxes.

That code is not in this pack, so that numbers are compared here, and no boxes are drawn. README.md
says what makes boxes of them; samples.npz has those that it made of its images (`answers`: x1, y1,
x2, y2, score, class; class -1 fills up). Needs numpy alone.
"""

# attention-nas copies this file into packs as outputs.py: it must not import from the project.

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Given = NDArray[np.float32]

ALIKE = "correlated numbers for"
CORRELATED = 0.95
"""The least correlation of what a graph and the network give for an image, to be alike."""


def alike(given: Given, wanted: Given) -> NDArray[np.bool_]:
    """Say whether a graph gives for each image what the network gave, (N, ...)."""
    ones, others = (each.reshape(len(each), -1).astype(np.float64) for each in (given, wanted))
    equal = np.isclose(ones, others).all(axis=1)
    ones = ones - ones.mean(axis=1, keepdims=True)
    others = others - others.mean(axis=1, keepdims=True)
    sizes = np.sqrt((ones**2).sum(axis=1) * (others**2).sum(axis=1))
    together = (ones * others).sum(axis=1)
    same: NDArray[np.bool_] = np.where(sizes > 0, together >= CORRELATED * sizes, equal)
    return same


def compare(
    infer: Callable[[slice], Given], samples: Mapping[str, NDArray[Any]]
) -> tuple[float, float, str, str]:
    """Compare a graph with the network on the samples.

    infer: what the graph gives for some of the samples.
    Returns the largest difference of a number, the share of images whose numbers go together, of
    what that is a share, and what is not looked at.
    """
    wanted, differences, same = samples["scores"], [], []
    for row in range(len(wanted)):
        one = slice(row, row + 1)
        given = infer(one)
        apart = float(np.abs(given - wanted[one]).max())
        differences.append(apart if np.isfinite(apart) else np.inf)
        same.append(bool(alike(given, wanted[one])[0]))
    return max(differences), float(np.mean(same)), f"{len(wanted)} images", "boxes not looked at"


def show(
    given: Given,
    _picture: NDArray[np.uint8],
    name: str,
    _pack: Path,
    _fit: str,
    _samples: Mapping[str, NDArray[Any]],
) -> str:
    """Keep what the graph gives for a picture, into a file where one is now."""
    path = Path(f"{name}-given.npy")
    np.save(path, given)
    shape = "x".join(map(str, given.shape))
    return f"{path}: what the graph gives, {shape}; README.md says what makes boxes of it"
