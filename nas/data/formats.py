"""Which files are images: those that Pillow can decode here, by their suffixes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache

from PIL import Image, ImageFile, features

__all__ = ["image_formats", "open_image"]

_NEEDED = {"AVIF": "avif", "JPEG": "jpg", "JPEG2000": "jpg_2000", "WEBP": "webp"}
"""The parts that Pillow must have been built with to decode formats that it lists anyhow."""

# PostScript is a program, which Ghostscript would run; of MPEG, Pillow reads the size alone.
_NEVER = {"EPS", "MPEG"}


@cache
def image_formats() -> Mapping[str, str]:
    """Return suffix -> Pillow's name of the format, for all that can be decoded here."""
    Image.init()
    readable = {name for name in Image.OPEN if _is_decoded(name)}
    formats = Image.registered_extensions() | {".mpo": "JPEG"}  # several of them in one file
    return {suffix: name for suffix, name in sorted(formats.items()) if name in readable}


def _is_decoded(name: str) -> bool:
    factory, _ = Image.OPEN[name]
    if isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile):
        # What decodes it, another package or Windows: of the module in older versions of Pillow.
        places = (factory, sys.modules[factory.__module__])
        return any(getattr(place, "_handler", None) is not None for place in places)
    return name not in _NEVER and (name not in _NEEDED or bool(features.check(_NEEDED[name])))


def open_image(path: str) -> Image.Image:
    """Open an image file, whatever format its suffix says it is of.

    A format without a signature is tried for files of its own suffix alone: nearly any bytes
    could be of it.
    """
    own = image_formats().get(os.path.splitext(path)[1].lower())
    return Image.open(path, formats=_signed() if own is None else (own, *_signed()))


@cache
def _signed() -> tuple[str, ...]:
    """Return the formats that are known by the first bytes of a file."""
    readable = set(image_formats().values())
    return tuple(name for name, (_, known) in Image.OPEN.items() if known and name in readable)
