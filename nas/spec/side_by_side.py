"""The ways to train several networks at a time on one GPU."""

from __future__ import annotations

from typing import Literal

__all__ = ["Placed", "Placement"]

Placed = Literal["processes", "streams"]
"""`processes`: each in a process of its own; `streams`: those of a GPU in one process, in CUDA
streams, a step in turn."""

Placement = Literal["processes", "streams", "auto"]
"""`auto`: whichever is faster, where that is measured, else processes."""
