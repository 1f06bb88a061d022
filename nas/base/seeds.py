"""Random streams that are named rather than shared.

Each number is derived from the seed and from what it is for, so that nothing depends on what
was drawn before it: a search or a training that is interrupted goes on exactly as it was.
"""

from __future__ import annotations

import hashlib

__all__ = ["derive"]


def derive(seed: int, *purpose: str | int) -> int:
    """Return the seed of a purpose, such as `("draw", 12)`; 63 bits."""
    text = ":".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
