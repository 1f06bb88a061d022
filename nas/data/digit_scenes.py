"""Digits on canvases with known masks, made from the handwritten digits of scikit-learn.

Segmentation to try without data of one's own: one or two digits of any size, place and colour on a
smooth background. It is no evidence for other images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.seeds import derive
from nas.data.cluttered_digits import Part, part_digits
from nas.data.images import Images, ImageSource, Masks, Parts
from nas.data.masks import Numbering, found_numbers
from nas.data.reading import Reading

__all__ = [
    "SIDE",
    "Place",
    "digit_scenes",
    "digit_scenes_test",
    "draw_place",
    "draw_scenes",
    "grey_levels",
    "lay",
    "texture",
]

Pixels = NDArray[np.uint8]

_CLASSES = ("background", *"0123456789")
_VERSION = 2  # of how scenes are drawn: a new one leaves the old caches alone
_COUNTS: dict[Part, int] = {"train": 1200, "validation": 300, "test": 300}
SIDE = 64
"""The height and width of a scene, pixels."""
_DIGITS = 2  # at most, in one scene
_SIDES = (32, 48)  # of a digit
_INK = 96  # of 255: what is darker shows the background


def digit_scenes(_argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return 1,200 scenes for training and 300 for validation: no digit stands in both."""
    source = "digits"
    names = dict(enumerate(_CLASSES))

    def read() -> Parts:
        numbering = Numbering.of(names, reading.classes, source)
        train, held = _images("train", numbering), _images("validation", numbering)
        return Parts(numbering.classes, train, held, mirror=False, numbers=names)

    return ImageSource(f"digit scenes {_VERSION}", read)


def digit_scenes_test(_argument: str, reading: Reading) -> ImageSource[Images]:
    """Return 300 scenes of digits that stand on no other."""
    numbering = Numbering.of(dict(enumerate(_CLASSES)), reading.classes, "digits")
    return ImageSource(f"digit scenes {_VERSION} test", lambda: _images("test", numbering))


def _images(part: Part, numbering: Numbering) -> Images:
    digits, labels = part_digits(part)
    rng = np.random.default_rng(derive(0, "digit-scenes", part))
    scenes, drawn = draw_scenes(digits, labels, _COUNTS[part], rng)
    masks = Masks(lambda row: drawn[row], lambda row: f"mask {row} of digits ({part})")
    return numbering.images(
        lambda row: Image.fromarray(scenes[row]),
        lambda row: f"image {row} of digits ({part})",
        masks,
        found_numbers(masks, len(drawn)),
    )


def draw_scenes(
    digits: NDArray[np.float64], labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Draw scenes; where digits meet, the later one lies above.

    digits: (n, h, h), from 0 to 16.
    labels: (n,), 0 to 9.
    Returns (count, 64, 64, 3), and (count, 64, 64) masks: 0 of the background, else a digit's
    label + 1.
    """
    grey = grey_levels(digits)
    scenes = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    for scene, mask in zip(scenes, masks, strict=True):
        scene[:] = texture(rng)
        for number in rng.integers(len(grey), size=rng.integers(1, _DIGITS + 1)):
            place = draw_place(rng, _SIDES)
            ink = lay(scene, grey[number], place, rng)
            mask[place][ink] = labels[number] + 1
    return scenes, masks


def grey_levels(digits: NDArray[np.float64]) -> Pixels:
    """Return digits, (n, h, h) from 0 to 16, from 0 to 255."""
    return (digits * (255.0 / 16.0)).round().astype(np.uint8)


def texture(rng: np.random.Generator) -> Pixels:
    """Return a smooth coloured background under noise: (64, 64, 3)."""
    coarse = Image.fromarray(rng.integers(0, 140, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(np.int64)
    noise = rng.integers(-20, 21, (SIDE, SIDE, 1))
    return (smooth + noise).clip(0, 255).astype(np.uint8)


Place = tuple[slice, slice]
"""The rows and columns of a square in a scene."""


def draw_place(rng: np.random.Generator, sides: tuple[int, int]) -> Place:
    """Return a place anywhere, its side between two."""
    side = int(rng.integers(sides[0], sides[1] + 1))
    top, left = (int(start) for start in rng.integers(SIDE - side + 1, size=2))
    return slice(top, top + side), slice(left, left + side)


def lay(scene: Pixels, digit: Pixels, place: Place, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Lay a digit on a scene, in a bright colour; return where in its place its ink is."""
    side = place[0].stop - place[0].start
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR)
    ink = np.asarray(large) > _INK
    scene[place][ink] = rng.integers(120, 256, 3, dtype=np.uint8)
    return ink
