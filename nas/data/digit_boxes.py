"""Digits on canvases with known boxes, made from the handwritten digits of scikit-learn.

Detection to try without data of one's own: one to three digits of any size, place and colour on a
smooth background. It is no evidence for other images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.seeds import derive
from nas.base.size import Size
from nas.data.boxes import BoxNumbering, Objects
from nas.data.cluttered_digits import Part, part_digits
from nas.data.digit_scenes import SIDE, Place, draw_place, grey_levels, lay, texture
from nas.data.images import Images, ImageSource, Parts
from nas.data.reading import Reading

__all__ = ["digit_boxes", "digit_boxes_test", "draw_boxes"]

Pixels = NDArray[np.uint8]

_NAMES = dict(enumerate("0123456789"))
_VERSION = 2  # of how scenes are drawn: a new one leaves the old caches alone
_COUNTS: dict[Part, int] = {"train": 800, "validation": 200, "test": 200}
_DIGITS = 3  # at most, in one scene
_SIDES = (20, 40)  # of a digit
_SHARED = 4  # pixels that the places of two may share along one side
_TRIES = 20


def digit_boxes(_argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return 800 scenes for training and 200 for validation: no digit stands in both."""

    def read() -> Parts:
        numbering = BoxNumbering.of(_NAMES, reading.classes, "digits")
        train, held = _images("train", numbering), _images("validation", numbering)
        return Parts(numbering.classes, train, held, mirror=False, numbers=_NAMES)

    return ImageSource(f"digit boxes {_VERSION}", read)


def digit_boxes_test(_argument: str, reading: Reading) -> ImageSource[Images]:
    """Return 200 scenes of digits that stand on no other."""
    numbering = BoxNumbering.of(_NAMES, reading.classes, "digits")
    return ImageSource(f"digit boxes {_VERSION} test", lambda: _images("test", numbering))


def _images(part: Part, numbering: BoxNumbering) -> Images:
    digits, labels = part_digits(part)
    rng = np.random.default_rng(derive(0, "digit-boxes", part))
    scenes, objects = draw_boxes(digits, labels, _COUNTS[part], rng)
    return numbering.images(
        lambda row: Image.fromarray(scenes[row]),
        lambda row: f"image {row} of digits ({part})",
        objects,
        lambda row: f"boxes of image {row} of digits ({part})",
    )


def draw_boxes(
    digits: NDArray[np.float64], labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[Pixels, list[Objects]]:
    """Draw scenes, of which the places of any two digits share little.

    digits: (n, h, h), from 0 to 16.
    labels: (n,), 0 to 9.
    Returns (count, 64, 64, 3), and the objects of each: the boxes of their ink.
    """
    grey = grey_levels(digits)
    scenes = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    held: list[Objects] = []
    for scene in scenes:
        scene[:] = texture(rng)
        names, boxes = [], []
        for number, place in zip(rng.integers(len(grey), size=_DIGITS), _places(rng), strict=False):
            ink = lay(scene, grey[number], place, rng)
            names.append(_NAMES[int(labels[number])])
            boxes.append(_box(place, ink))
        held.append(Objects(tuple(names), np.array(boxes, dtype=np.float64), Size(SIDE, SIDE)))
    return scenes, held


def _places(rng: np.random.Generator) -> list[Place]:
    """Return one to three places, as many as were drawn and found room."""
    places: list[Place] = []
    wanted = rng.integers(1, _DIGITS + 1)
    for _ in range(_TRIES):
        place = draw_place(rng, _SIDES)
        if len(places) < wanted and not any(_share(place, other) for other in places):
            places.append(place)
    return places


def _share(one: Place, other: Place) -> bool:
    """Return whether two places share more than they may along both sides."""
    return all(
        min(a.stop, b.stop) - max(a.start, b.start) > _SHARED
        for a, b in zip(one, other, strict=True)
    )


def _box(place: Place, ink: NDArray[np.bool_]) -> list[int]:
    """Return the box around ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, left = place[0].start, place[1].start
    return [left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1]
