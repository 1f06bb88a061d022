"""The size of images: the side of a square, or height and width where these differ."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.base.errors import SpecError

__all__ = ["SIZE_FORM", "Resolution", "Size"]

Resolution = int | str
"""A size as it is written: 224 of a square, "224x160" (height first) of another.

Equal sizes are written alike, so that squares keep the digests that they always had.
"""

SIZE_FORM = 'whole pixels, or height x width, as in "224x160"'
"""How sizes are written, for errors."""


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """The height and width of an image, pixels. As text, `224x160`, of a square too."""

    height: int
    width: int

    @classmethod
    def of(cls, given: Resolution | tuple[int, int] | Size) -> Size:
        """Return the size that is written so, or given as (height, width).

        Raises SpecError for what is none.
        """
        size = _read(given)
        if size is None:
            raise SpecError(f"size {given!r}; allowed: {SIZE_FORM}")
        return size

    @property
    def written(self) -> Resolution:
        """The one way in which it is written: a number of a square, else a text."""
        return self.height if self.height == self.width else str(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image: (3, height, width)."""
        return (3, self.height, self.width)

    @property
    def pixels(self) -> int:
        """Their number."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def _read(given: object) -> Size | None:
    """Return a size; None for what is none."""
    match given:
        case Size():
            return given
        case str():
            sides = re.fullmatch(r"([1-9][0-9]{0,8})(?:x([1-9][0-9]{0,8}))?", given)
            return Size(int(sides[1]), int(sides[2] or sides[1])) if sides else None
        case int():
            given = (given, given)
    if isinstance(given, tuple) and len(given) == 2 and all(map(_is_side, given)):
        return Size(*given)
    return None


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
