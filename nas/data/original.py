"""The masks and boxes of images as they are, which figures at original size are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.images import Images, pillow_as_needed, upright_boxes, upright_mask
from nas.data.kinds import resolve_source, source_to_test
from nas.data.reading import Reading
from nas.data.searched import Searched

__all__ = ["OriginalBoxes", "OriginalMasks", "original_boxes", "original_masks"]


@dataclass(frozen=True)
class OriginalMasks:
    """The masks of a split's images, in its order, each read when it is asked for.

    Of the upright image's size: (height, width) uint8, 255 where none counts. `nas.data.map_back`
    brings a prediction there.
    """

    _images: Images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        with pillow_as_needed():
            return upright_mask(self._images, row)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[row] for row in range(len(self)))


def original_masks(
    source: str,
    part: Literal["validation", "test"],
    *,
    validation: float | str = 0.2,
    seed: int = 0,
    reading: Reading,
) -> OriginalMasks:
    """Return the masks of a source's validation or test images, in the order of that split.

    source, validation, seed, reading: those that the split was made with; see `cached_data`.
    Raises SpecError as that does, and for images that have no masks.
    """
    if reading.annotated != "masks":
        raise SpecError(f"data {source!r} is read with {reading.annotated}, and has no masks then")
    return OriginalMasks(_part(source, part, validation, seed, reading))


@dataclass(frozen=True)
class OriginalBoxes:
    """The boxes of a split's images, in its order, each read when they are asked for.

    Of each: the size of the upright image, and its boxes there as the file has them, (M, 7)
    float64: x1, y1, x2, y2, class, 1 for a region that does not count, area. Nothing is clipped or
    left out that figures count. `nas.data.boxes_back` brings what a network finds there.
    """

    _images: Images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[Size, NDArray[np.float64]]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        with pillow_as_needed():
            return upright_boxes(self._images, row)

    def __iter__(self) -> Iterator[tuple[Size, NDArray[np.float64]]]:
        return (self[row] for row in range(len(self)))


def original_boxes(
    source: str,
    part: Literal["validation", "test"],
    *,
    validation: float | str = 0.2,
    seed: int = 0,
    reading: Reading,
) -> OriginalBoxes:
    """Return the boxes of a source's validation or test images, in the order of that split.

    The arguments are those of `original_masks`. Raises SpecError likewise.
    """
    if reading.annotated != "boxes":
        raise SpecError(f"data {source!r} is read with {reading.annotated}, and has no boxes then")
    return OriginalBoxes(_part(source, part, validation, seed, reading))


def _part(
    source: str,
    part: Literal["validation", "test"],
    validation: float | str,
    seed: int,
    reading: Reading,
) -> Images:
    source = resolve_source(source)
    if part == "test":
        return source_to_test(source, reading).open()
    return Searched.of(source, validation, seed, reading).divide()[2]
