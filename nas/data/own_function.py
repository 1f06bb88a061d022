"""A user's own images, as `module:function` or `path/to/file.py:function`, which returns them.

It is called with the arguments in its name: `mine:photos(side=64)`; most often there are none.

Naming one runs its code, as importing it would.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError
from nas.base.user_code import call_user_function
from nas.data.geometry import upright
from nas.data.images import (
    Images,
    ImageSource,
    Parts,
    error_reason,
    in_memory,
    number_classes,
)

__all__ = ["own_function"]

_Pair = tuple[Any, Any]

_ALLOWED = (
    "allowed: (images, labels), or a pair of such pairs for training and validation; images: "
    "uint8 (N, H, W) or (N, H, W, 3), or a list of PIL images"
)


def own_function(name: str) -> ImageSource[Parts]:
    """Return the images that a user's function returns; they bring no test part.

    It returns (images, labels) for training, or two such pairs, the second for validation.
    Raises SpecError when it fails or returns something else.
    """
    returned = call_user_function(name, "data")
    pairs = _pairs(returned, f"data {name!r}")
    classes, train, content = _read_pair(pairs[0], None, f"data {name!r} (training)")
    if len(classes) < 2:
        raise SpecError(f"data {name!r}: {len(classes)} class; at least 2 are needed")
    validation = None
    if len(pairs) > 1:
        _, validation, more = _read_pair(pairs[1], classes, f"data {name!r} (validation)")
        content += more
    return ImageSource(content, lambda: Parts(classes, train, validation))


def _pairs(returned: object, name: str) -> list[_Pair]:
    """Return one pair or two, of anything."""
    if isinstance(returned, tuple) and len(returned) == 2:
        pairs = list(returned) if isinstance(returned[0], tuple) else [returned]
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            return pairs
    raise SpecError(f"{name}: it returned {_describe(returned)}; {_ALLOWED}")


def _read_pair(
    pair: _Pair, classes: tuple[str, ...] | None, name: str
) -> tuple[tuple[str, ...], Images, str]:
    """Return classes, images, and a digest of them that changes when they do."""
    images, labels = pair
    if not isinstance(labels, list | np.ndarray):
        raise SpecError(f"{name}: labels are {_describe(labels)}; allowed: a list or an array")
    if not (_are_pixels(images) if isinstance(images, np.ndarray) else _are_pictures(images)):
        raise SpecError(f"{name}: images are {_describe(images)}; {_ALLOWED}")
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


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, list | tuple):
        kinds = sorted({type(member).__name__ for member in value})
        return f"a {type(value).__name__} of {len(value)} ({', '.join(kinds)})"
    return type(value).__name__
