"""Translated digits in clutter, made from the handwritten digits of scikit-learn.

The field's classic for attention (Mnih and others 2014, arXiv:1406.6247, made it of MNIST): a digit
stands anywhere on a canvas, among pieces of other digits and one more whole digit. A mark at the
left edge stands in the row of the digit that is to be read, so that a network must bring together
what lies far apart. It is made to let attention pay, and is no evidence for other images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas.base.seeds import derive
from nas.data.dataset import split_rows
from nas.data.images import Images, ImageSource, Parts, in_memory

__all__ = [
    "Clutter",
    "Part",
    "cluttered_digits",
    "cluttered_digits_test",
    "draw_canvases",
    "part_digits",
]

Part = Literal["train", "validation", "test"]
Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Grey = NDArray[np.float64]

_CLASSES = tuple("0123456789")
_VERSION = 1  # of how canvases are drawn: a new one leaves the old caches alone
_COUNTS: dict[Part, int] = {"train": 4000, "validation": 2000, "test": 2000}
_SHARE = 0.2  # of the digits, for the test part; and of the others, for validation
_WHITE = 16.0  # the brightest level of scikit-learn's digits


@dataclass(frozen=True, slots=True)
class Clutter:
    """How canvases are drawn; all lengths in pixels.

    canvas: its side.
    others: whole digits beside the one that is to be read.
    apart: by how many rows, at least, another digit stands above or below it.
    pieces: squares cut from digits.
    piece: their side.
    mark: width of the mark, and of the margin that holds nothing else; the loop of training moves
        images by up to an eighth of their side, which must not push it off.
    """

    canvas: int = 16
    others: int = 1
    apart: int = 5
    pieces: int = 1
    piece: int = 4
    mark: int = 3


def cluttered_digits(_argument: str) -> ImageSource[Parts]:
    """Return 4,000 canvases for training and 2,000 for validation: no digit stands in both."""

    def read() -> Parts:
        return Parts(_CLASSES, _images("train"), _images("validation"), mirror=False)

    return ImageSource(f"cluttered-digits {_VERSION}", read)


def cluttered_digits_test(_argument: str) -> ImageSource[Images]:
    """Return 2,000 canvases of digits that stand on no other."""
    return ImageSource(f"cluttered-digits {_VERSION} test", lambda: _images("test"))


def _images(part: Part) -> Images:
    digits, labels = part_digits(part)
    rng = np.random.default_rng(derive(0, "cluttered-digits", part))
    pixels, drawn = draw_canvases(digits, labels, _COUNTS[part], rng, Clutter())
    return in_memory(pixels, drawn, f"cluttered-digits ({part})")


def part_digits(part: Part) -> tuple[Grey, Labels]:
    """Return the digits of a part, (n, 8, 8) from 0 to 16, and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    # The test part is cut as that of `digits` is: the same images are unseen in both.
    kept, test = split_rows(labels, 1 - _SHARE, seed=0)
    train, validation = split_rows(labels[kept], 1 - _SHARE, seed=0)
    rows = {"train": kept[train], "validation": kept[validation], "test": test}[part]
    return bunch.images[rows], labels[rows]


def draw_canvases(
    digits: Grey, labels: Labels, count: int, rng: np.random.Generator, clutter: Clutter
) -> tuple[Pixels, Labels]:
    """Draw canvases, each with a marked digit, others and pieces; where they meet, the brighter.

    digits: (n, h, h), from 0 to 16, each marked about as often as any other.
    labels: (n,).
    Returns (count, canvas, canvas) and (count,) labels of the marked digits.
    """
    turns = -(-count // len(digits))
    marked = np.concatenate([rng.permutation(len(digits)) for _ in range(turns)])[:count]
    canvases = np.zeros((count, clutter.canvas, clutter.canvas))
    for canvas, number in zip(canvases, marked, strict=True):
        for other in rng.integers(len(digits), size=clutter.pieces):
            piece = _cut(digits[other], clutter.piece, rng)
            top = int(rng.integers(clutter.canvas - clutter.piece + 1))
            _lay(canvas, piece, top, rng, clutter)
        _lay_digits(canvas, digits, number, rng, clutter)
    return (canvases * (255.0 / _WHITE)).round().astype(np.uint8), labels[marked]


def _lay_digits(
    canvas: Grey, digits: Grey, marked: int, rng: np.random.Generator, clutter: Clutter
) -> None:
    """Lay the marked digit, its mark, and the others, which stay away from its rows."""
    side = digits.shape[1]
    tops = np.arange(clutter.canvas - side + 1)
    # A place in the middle may leave no room above or below.
    free = [top for top in tops if (abs(tops - top) >= clutter.apart).any()]
    top = int(rng.choice(free))
    away = tops[abs(tops - top) >= clutter.apart]
    for other in rng.integers(len(digits), size=clutter.others):
        _lay(canvas, digits[other], int(rng.choice(away)), rng, clutter)
    _lay(canvas, digits[marked], top, rng, clutter)
    middle = top + side // 2
    canvas[middle - 1 : middle + 1, : clutter.mark] = _WHITE


def _cut(image: Grey, side: int, rng: np.random.Generator) -> Grey:
    """Return a square of an image, from a random place."""
    top, left = rng.integers(len(image) - side + 1, size=2)
    return image[top : top + side, left : left + side]


def _lay(canvas: Grey, image: Grey, top: int, rng: np.random.Generator, clutter: Clutter) -> None:
    """Lay a square image on a canvas, anywhere right of the margin."""
    side = len(image)
    left = int(rng.integers(clutter.mark, clutter.canvas - side + 1))
    place = canvas[top : top + side, left : left + side]
    np.maximum(place, image, out=place)
