"""The places of blocks in a network: parts of it, and positions in a residual block."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["PARTS", "POSITIONS", "Part", "Position"]

Position = Literal[
    "after_depthwise",
    "after_first_depthwise",
    "after_last_depthwise",
    "after_convolution",
    "after_projection",
    "after_residual",
]
POSITIONS: tuple[Position, ...] = get_args(Position)
"""The positions in a residual block; a sandglass has a first and a last depthwise convolution.

One without depthwise convolutions has its last spatial one in their place, as a bottleneck has.
"""

Part = Literal["backbone", "neck", "head"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts of a task's network: its backbone; what joins maps of several sizes, or makes smaller
ones; and what gives the answers."""
