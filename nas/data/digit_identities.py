"""Identities that are single handwritten digits, made from those of scikit-learn.

Retrieval to try without data of one's own: an identity is one digit as one person wrote it, under
many placements, sizes, turns and strokes, as three cameras see it. It is no evidence for other
images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from nas.base.seeds import derive
from nas.data.cluttered_digits import Part, part_digits
from nas.data.dataset import thinning
from nas.data.identities import judged, numbered_behind, with_cameras
from nas.data.images import Images, ImageSource, Parts, in_memory
from nas.data.reading import Reading

__all__ = ["digit_identities", "digit_identities_test", "draw_pictures"]

Pixels = NDArray[np.uint8]

_VERSION = 2  # of how pictures are drawn: a new one leaves the old caches alone
_COUNTS: dict[Part, int] = {"train": 100, "validation": 50, "test": 50}
_CAMERAS = 3
_PICTURES = 4  # of each identity by each camera
_SIDE = 32
_SIDES = (22, 28)  # of a digit
_SHIFT = 3  # pixels from the middle, at most
_TURN = 10  # degrees, at most, to either side


def digit_identities(_argument: str, _reading: Reading) -> ImageSource[Parts]:
    """Return twelve pictures of each of 100 digits for training, and of 50 for validation."""

    def read() -> Parts:
        train = _images("train")
        names = tuple(f"digit-{number}" for number in range(_COUNTS["train"]))
        held = numbered_behind(judged(_images("validation"), "digits"), len(names))
        return Parts(names, train, held, mirror=False)

    return ImageSource(f"digit identities {_VERSION}", read)


def digit_identities_test(_argument: str, _reading: Reading) -> ImageSource[Images]:
    """Return twelve pictures of each of 50 digits that are in no other part."""
    return ImageSource(
        f"digit identities {_VERSION} test", lambda: judged(_images("test"), "digits")
    )


def _images(part: Part) -> Images:
    digits, labels = part_digits(part)
    # As many of each of the ten, so that to tell these apart does not suffice.
    chosen = digits[thinning(labels, seed=0)[: _COUNTS[part]]]
    rng = np.random.default_rng(derive(0, "digit-identities", part))
    pixels, identities, cameras = draw_pictures(chosen, _PICTURES, rng)
    return with_cameras(in_memory(pixels, identities, f"digits ({part})"), cameras)


def draw_pictures(
    digits: NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.int64], NDArray[np.int64]]:
    """Draw so many pictures of each digit by each camera.

    digits: (n, h, h), from 0 to 16.
    Returns (N, 32, 32) pictures, the number of each one's digit, and that of its camera.
    """
    grey = (digits * (255.0 / 16.0)).round().astype(np.uint8)
    pixels: list[Pixels] = []
    for digit in grey:
        for camera in range(_CAMERAS):
            pixels += [_seen(_written(digit, rng), camera, rng) for _ in range(count)]
    each = _CAMERAS * count
    identities = np.repeat(np.arange(len(grey)), each)
    cameras = np.tile(np.repeat(np.arange(_CAMERAS), count), len(grey))
    return np.stack(pixels), identities.astype(np.int64), cameras.astype(np.int64)


def _written(digit: Pixels, rng: np.random.Generator) -> Image.Image:
    """Return a canvas with a digit of some size, turn and thickness near its middle."""
    side = int(rng.integers(_SIDES[0], _SIDES[1] + 1))
    middle = (_SIDE - side) // 2
    left, top = (middle + int(way) for way in rng.integers(-_SHIFT, _SHIFT + 1, size=2))
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR)
    canvas = Image.new("L", (_SIDE, _SIDE))
    canvas.paste(large, (left, top))
    canvas = canvas.rotate(int(rng.integers(-_TURN, _TURN + 1)), Image.Resampling.BILINEAR)
    return canvas.filter(ImageFilter.MaxFilter(3)) if rng.random() < 0.5 else canvas


def _seen(canvas: Image.Image, camera: int, rng: np.random.Generator) -> Pixels:
    """Return a canvas as a camera sees it: sharp; blurred and dimmer; or paler."""
    levels = np.asarray(canvas.filter(ImageFilter.BoxBlur(1)) if camera == 1 else canvas)
    seen = levels.astype(np.int64)
    if camera == 1:
        seen = seen * 4 // 5
    elif camera == 2:
        seen = seen * 4 // 5 + 40
    noise = rng.integers(-16, 17, seen.shape)
    return (seen + noise).clip(0, 255).astype(np.uint8)
