"""The order of names that hold numbers."""

from __future__ import annotations

import re

__all__ = ["natural_key"]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return the key that sorts blocks.2 before blocks.10."""
    # Not isdigit: "\u00b2" of "m\u00b2" is one, and no number.
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
