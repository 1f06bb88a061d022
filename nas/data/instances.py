"""Boxes around the objects of masks that number them: 0 is the background, 1 the first object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.box_part import Annotated, BoxPart
from nas.data.boxes import Objects
from nas.data.formats import open_image
from nas.data.images import error_reason, pillow_as_needed
from nas.data.listing import Listing, readable

__all__ = ["INSTANCES", "instance_part", "instances_of"]

INSTANCES = "instances"
"""The folder of masks that number objects, beside images."""

_NO_OBJECT = 255  # where it is no number among others: the edge between objects


def instance_part(
    images: Listing, masks: Listing, name: str, notes: tuple[str, ...], *, clearly: bool
) -> BoxPart:
    """Return images with the boxes of the objects that their masks number, of one class.

    name: of the class.
    clearly: whether masks are known to number objects; else it is checked that they look so.
    """
    paths = [path for _, path in images.files]
    of = [path for _, path in masks.files]

    def read() -> Annotated:
        with pillow_as_needed():
            numbered = [_numbers(path) for path in of]
        if not clearly:
            _check_numbered(numbered, of)
        objects = [instances_of(numbers, name) for numbers in numbered]
        return Annotated(paths, objects, lambda row: f"objects of mask {readable(of[row])}", [name])

    return BoxPart(read, (images, masks), notes)


def instances_of(numbers: NDArray[np.int64], name: str) -> Objects:
    """Return the objects of a mask, (H, W): their boxes, and their pixels as areas."""
    instances = np.unique(numbers)
    instances = instances[instances > 0]
    if len(instances) and instances[-1] == _NO_OBJECT and len(instances) < _NO_OBJECT:
        instances = instances[:-1]
    rows, columns = np.nonzero(np.isin(numbers, instances) & (numbers > 0))
    place = np.searchsorted(instances, numbers[rows, columns])
    boxes = np.empty((len(instances), 4))
    boxes[:, :2], boxes[:, 2:] = np.inf, -np.inf
    for start, end, at in ((0, 2, columns), (1, 3, rows)):
        np.minimum.at(boxes[:, start], place, at)
        np.maximum.at(boxes[:, end], place, at + 1)
    areas = np.bincount(place, minlength=len(instances)).astype(np.float64)
    return Objects((name,) * len(instances), boxes, Size(*numbers.shape), None, areas)


def _numbers(path: str) -> NDArray[np.int64]:
    """Read the numbers of a mask. Raises SpecError for an image that holds something else."""
    try:
        with open_image(path) as image:
            if image.format in {"JPEG", "MPO"}:
                raise ValueError("JPEG changes numbers; PNG keeps them")
            if image.mode not in {"1", "L", "P"} and not image.mode.startswith("I"):
                raise ValueError(
                    f"its pixels are {image.mode}; allowed: the number of an object each, as grey"
                )
            return np.asarray(image).astype(np.int64)
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise SpecError(
            f"mask {readable(path)} cannot be read ({error_reason(error)}); mend or remove it"
        ) from None


def _check_numbered(masks: Sequence[NDArray[np.int64]], paths: Sequence[str]) -> None:
    """Raises SpecError for masks that may be of classes, or of a single object each."""
    most = 0
    for numbers, path in zip(masks, paths, strict=True):
        instances = np.setdiff1d(np.unique(numbers), [0, _NO_OBJECT])
        if len(instances) and not np.array_equal(instances, np.arange(1, len(instances) + 1)):
            raise SpecError(
                f"mask {readable(path)} holds numbers {', '.join(map(str, instances[:6]))}, which "
                f"number no objects from 1; masks that do, for --task detection, lie in "
                f"{INSTANCES}/; masks of classes are for --task segmentation"
            )
        most = max(most, len(instances))
    if most < 2:
        raise SpecError(
            f"mask {readable(paths[0])} and all others hold one number beside 0: that may be a "
            f"class; masks that number objects, for --task detection, lie in {INSTANCES}/"
        )
