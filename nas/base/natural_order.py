"""The order of names that hold numbers."""

from __future__ import annotations

import re

__all__ = ["natural_key"]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return the key that sorts blocks.2 before blocks.10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
