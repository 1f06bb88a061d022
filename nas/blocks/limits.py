"""Why a block cannot stand at a map, in words; None where it can. For `Block.limits`."""

from __future__ import annotations

__all__ = ["too_many_positions", "undivided"]

_MOST_POSITIONS = 56 * 56


def undivided(channels: int, parts: int, what: str) -> str | None:
    """what: the parts, such as heads."""
    if channels % parts:
        return f"its {channels} channels do not divide into {parts} {what}"
    return None


def too_many_positions(height: int, width: int, most: int = _MOST_POSITIONS) -> str | None:
    """For attention between positions, whose cost grows with their square."""
    if height * width > most:
        return f"its {height * width} positions are more than {most}"
    return None
