"""Reasons why a block does not fit a map, in words, for `Block.limits`."""

from __future__ import annotations

__all__ = ["too_many_positions", "undivided"]

_MOST_POSITIONS = 56 * 56


def undivided(channels: int, parts: int, what: str) -> str | None:
    """Return why channels do not divide into parts; None when they do.

    what: the parts, such as heads.
    """
    if channels % parts:
        return f"its {channels} channels do not divide into {parts} {what}"
    return None


def too_many_positions(height: int, width: int, most: int = _MOST_POSITIONS) -> str | None:
    """Return why a map is too large for attention between positions; None when it is not.

    The cost of such attention grows with the square of the positions.
    """
    if height * width > most:
        return f"its {height * width} positions are more than {most}"
    return None
