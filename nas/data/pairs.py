"""Images in memory with their labels, as a pair of both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError
from nas.data.geometry import upright
from nas.data.images import Images, ImageSource, Parts, error_reason, in_memory, number_classes

__all__ = ["ALLOWED", "Pair", "describe_value", "read_pair", "source_of_pairs"]

Pair = tuple[Any, Any]
"""Images and labels."""

ALLOWED = (
    "allowed: (images, labels), or a pair of such pairs for training and validation; images: "
    "uint8 (N, H, W) or (N, H, W, 3), or a list of PIL images"
)


def source_of_pairs(
    pairs: Sequence[Pair], name: str, classes: tuple[str, ...] | None = None
) -> ImageSource[Parts]:
    """Return the images of one pair, for training, or of two, the second for validation.

    name: of the source in errors.
    classes: see `read_pair`, of the training part.
    Raises SpecError for what is no images with labels.
    """
    classes, train, content = read_pair(pairs[0], classes, f"{name} (training)")
    if len(classes) < 2:
        raise SpecError(f"{name}: {len(classes)} class; at least 2 are needed")
    validation = None
    if len(pairs) > 1:
        _, validation, more = read_pair(pairs[1], classes, f"{name} (validation)")
        content += more
    return ImageSource(content, lambda: Parts(classes, train, validation))


def read_pair(
    pair: Pair, classes: tuple[str, ...] | None, name: str
) -> tuple[tuple[str, ...], Images, str]:
    """Return classes, images, and a digest of them that changes when they do.

    classes: those that labels must be of; None: those that occur. See `number_classes`.
    Raises SpecError for what is no images with labels.
    """
    images, labels = pair
    if not isinstance(labels, list | np.ndarray):
        raise SpecError(f"{name}: labels are {describe_value(labels)}; allowed: a list or an array")
    if not (_are_pixels(images) if isinstance(images, np.ndarray) else _are_pictures(images)):
        raise SpecError(f"{name}: images are {describe_value(images)}; {ALLOWED}")
    if len(images) != len(labels) or not len(images):
        raise SpecError(f"{name}: {len(images)} images and {len(labels)} labels; one for each")
    classes, numbers = number_classes(labels, classes, name)
    digest = hashlib.sha256(repr(classes).encode() + numbers.tobytes())
    if isinstance(images, np.ndarray):
        pixels = np.ascontiguousarray(images)
        digest.update(repr(pixels.shape).encode())
        digest.update(pixels.data.cast("B"))
        return classes, in_memory(pixels, numbers, name), digest.hexdigest()
    for row, picture in enumerate(images):
        digest.update(_bytes(picture, f"image {row} of {name}"))
    pictures = Images(numbers, lambda row: images[row].copy(), lambda row: f"image {row} of {name}")
    return classes, pictures, digest.hexdigest()


def describe_value(value: object) -> str:
    """Say what was found where images or labels were expected."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, list | tuple):
        kinds = sorted({type(member).__name__ for member in value})
        return f"a {type(value).__name__} of {len(value)} ({', '.join(kinds)})"
    return type(value).__name__


def _are_pixels(images: NDArray[np.generic]) -> bool:
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    return fits and images.dtype == np.uint8 and 0 not in images.shape[1:]


def _are_pictures(images: object) -> bool:
    return isinstance(images, list) and all(isinstance(image, Image.Image) for image in images)


def _bytes(picture: Image.Image, name: str) -> bytes:
    try:
        turned = upright(picture)
        about = f"{turned.mode} {turned.size} {turned.getpalette()}"
        return about.encode() + turned.tobytes()
    except Exception as error:  # opened from a damaged file, it is read only now
        raise SpecError(
            f"{name} cannot be read ({error_reason(error)}); mend or remove it"
        ) from None
