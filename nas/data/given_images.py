"""Images that a caller has in memory, in whatever form, as arrays with labels.

A pair of arrays, a list of pictures, or a data set of PyTorch: each becomes uint8 as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from nas.base.errors import SpecError
from nas.base.machine import available_memory
from nas.data.arrays import Part
from nas.data.geometry import upright
from nas.data.images import error_reason
from nas.data.pairs import Pair, describe_value

__all__ = ["class_names", "in_parts"]

_MEMORY_SHARE = 0.5  # of what is free, for a copy of the images
_PARTS: tuple[Part, ...] = ("train", "validation", "test")
_ALLOWED = (
    "allowed: a text (folder:PATH, cifar10, ...), (images, labels), a torch Dataset of "
    "(image, label), or two or three of these for training, validation and test"
)
_PIXELS = (
    "allowed: uint8 from 0 to 255, or floats from 0 to 1; (N, H, W), (N, H, W, 3) or (N, 3, H, W)"
)

Pixels = NDArray[np.uint8]


def class_names(data: object) -> tuple[str, ...] | None:
    """Return the names that a data set of torchvision's has for its labels, if it has some."""
    first = data[0] if _are_parts(data) and isinstance(data, tuple) else data
    names = getattr(first, "classes", None) if isinstance(first, Dataset) else None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if len(set(names)) == len(names) else None


def in_parts(data: object) -> dict[Part, Pair]:
    """Return images and labels of each part that data have.

    Images are one uint8 array, (N, H, W) or (N, H, W, 3), or a list of arrays (H, W, 3) of several
    sizes.
    Raises SpecError for anything else, and for more than memory holds.
    """
    given = data if _are_parts(data) and isinstance(data, tuple) else (data,)
    return {
        part: _read_part(each, "data" if part == "train" else f"data ({part})")
        for part, each in zip(_PARTS, given, strict=False)
    }


def _are_parts(data: object) -> bool:
    """Return whether data are training images and others, each by themselves."""
    return (
        isinstance(data, tuple)
        and 2 <= len(data) <= len(_PARTS)
        and all(isinstance(each, tuple | Dataset) for each in data)
    )


def _read_part(data: object, name: str) -> Pair:
    if isinstance(data, IterableDataset):
        raise SpecError(
            f"{name}: found {type(data).__name__}, which has no length; give a Dataset that has, "
            "or (images, labels)"
        )
    if isinstance(data, Dataset):
        return _read_dataset(data, name)
    if isinstance(data, tuple) and len(data) == 2:
        images, labels = _images(data[0], name), _labels(data[1], name)
        if len(images) != len(labels):
            raise SpecError(f"{name}: {len(images)} images and {len(labels)} labels; one for each")
        return images, labels
    raise SpecError(f"{name}: found {describe_value(data)}; {_ALLOWED}")


def _labels(labels: object, name: str) -> list[Any]:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise SpecError(
            f"{name}: labels are {describe_value(array)}; allowed: one for each image, all whole "
            "numbers from 0, or all texts"
        )
    return list(array.tolist())


def _images(images: object, name: str) -> Any:
    if isinstance(images, list):
        return _one_array(
            [_picture(image, f"image {n} of {name}") for n, image in enumerate(images)]
        )
    if isinstance(images, Tensor):
        images = images.detach().cpu().numpy()
    if not isinstance(images, np.ndarray):
        raise SpecError(f"{name}: images are {describe_value(images)}; {_PIXELS}")
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise SpecError(f"{name}: images are {describe_value(images)}; {_PIXELS}")
    return _bytes(images, name)


def _bytes(pixels: NDArray[Any], name: str) -> Pixels:
    """Return pixels as uint8. Raises SpecError for values that are no brightness."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind not in "fiu" or not pixels.size:
        raise SpecError(f"{name}: images are {describe_value(pixels)}; {_PIXELS}")
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.asarray(np.rint(pixels * 255), dtype=np.uint8)
    if pixels.dtype.kind in "iu" and low >= 0 and high <= 255:
        return pixels.astype(np.uint8)
    if not math.isfinite(low + high):
        raise SpecError(f"{name}: some values are not finite (NaN or infinite); {_PIXELS}")
    hint = "leave out Normalize, which a search does itself" if low < 0 else "divide by the largest"
    raise SpecError(f"{name}: values from {low:g} to {high:g}; {_PIXELS}; {hint}")


def _picture(image: object, name: str) -> Pixels:
    """Return one picture as (H, W, 3)."""
    try:
        if isinstance(image, Image.Image):
            return np.asarray(upright(image).convert("RGB"))
    except Exception as error:  # opened from a damaged file, it is read only now
        raise SpecError(
            f"{name} cannot be read ({error_reason(error)}); mend or remove it"
        ) from None
    pixels = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if not isinstance(pixels, np.ndarray) or pixels.ndim not in (2, 3):
        raise SpecError(
            f"{name} is {describe_value(image)}; allowed: a PIL image, or pixels (H, W), (H, W, 3) "
            "or (3, H, W)"
        )
    pixels_of_one: Pixels = _images(pixels[None], name)[0]
    return (
        pixels_of_one if pixels_of_one.ndim == 3 else np.repeat(pixels_of_one[..., None], 3, axis=2)
    )


def _one_array(pictures: list[Pixels]) -> Pixels | list[Pixels]:
    """Return pictures as one array where they are of one size."""
    sizes = {picture.shape for picture in pictures}
    return np.stack(pictures) if len(sizes) == 1 else pictures


def _read_dataset(data: Dataset[Any], name: str) -> Pair:
    """Return all items of a data set, each an image and a label."""
    pictures: list[Pixels] = []
    labels: list[Any] = []
    free, taken = available_memory(), 0
    for number in range(_length(data, name)):
        called = f"item {number} of {name}"
        try:
            item = data[number]
        except Exception as error:  # a user's code, or a damaged file, may raise anything
            raise SpecError(f"{called}: {type(error).__name__}: {error_reason(error)}") from None
        if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
            described = sorted(item) if isinstance(item, Mapping) else describe_value(item)
            raise SpecError(f"{called}: found {described}; allowed: (image, label)")
        picture = _picture(item[0], called)
        taken += picture.nbytes
        if free is not None and taken > free * _MEMORY_SHARE:
            raise SpecError(
                f"{name}: the first {number + 1} images take {taken / 2**30:.1f} GiB; make them "
                "smaller (transforms.Resize), or name their folder: data='folder:PATH'"
            )
        pictures.append(picture)
        labels.append(item[1].item() if isinstance(item[1], Tensor | np.generic) else item[1])
    return _one_array(pictures), _labels(labels, name)


def _length(data: Dataset[Any], name: str) -> int:
    try:
        return len(data)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        raise SpecError(
            f"{name}: found {type(data).__name__}, which has no length; give a Dataset that has, "
            "or (images, labels)"
        ) from None
