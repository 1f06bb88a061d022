"""The masks of images as they are, which figures at original size are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.data.images import Images, pillow_as_needed, upright_mask
from nas.data.kinds import resolve_source, source_to_test
from nas.data.reading import Reading
from nas.data.searched import Searched

__all__ = ["OriginalMasks", "original_masks"]


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
    source = resolve_source(source)
    if part == "test":
        return OriginalMasks(source_to_test(source, reading).open())
    return OriginalMasks(Searched.of(source, validation, seed, reading).divide()[2])
