"""Sizes of images as they stand in files and behind options."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from nas.base.errors import SpecError
from nas.base.size import SIZE_FORM, Resolution, Size

__all__ = ["SearchedResolution", "WrittenResolution", "parse_resolution"]

_LEAST, _MOST = 8, 1024
_SEARCHED_FORM = f'{_LEAST} to {_MOST} pixels, or height x width of so many, as in "224x160"'


def parse_resolution(text: str, option: str) -> Resolution:
    """Return the size that was typed behind an option, of images that are searched with.

    option: as it was typed: `--resolution`.
    Raises SpecError.
    """
    try:
        return _searched(text)
    except ValueError as error:
        raise SpecError(f"{option}: {error}") from None


def _searched(value: object) -> Resolution:
    size = _read(value)
    if size is None or not all(_LEAST <= side <= _MOST for side in (size.height, size.width)):
        raise ValueError(f"found {value!r}; allowed: {_SEARCHED_FORM}")
    return size.written


def _written(value: object) -> Resolution:
    size = _read(value)
    if size is None:
        raise ValueError(f"found {value!r}; allowed: {SIZE_FORM}")
    return size.written


def _read(value: object) -> Size | None:
    if not isinstance(value, int | str):
        return None
    try:
        return Size.of(value)
    except SpecError:
        return None


WrittenResolution = Annotated[Resolution, BeforeValidator(_written)]
"""Any size in a file that is read."""

SearchedResolution = Annotated[Resolution, BeforeValidator(_searched)]
"""A size that people ask for: from 8 to 1024 pixels."""
