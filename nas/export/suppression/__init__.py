"""Suppression of double boxes within an exported graph: behind the network, by the same limits.

A graph then gives (N, D, 6): of each image the D boxes of the highest scores that are kept, best
first: x1, y1, x2, y2 in pixels of what it reads, score, class. D is fixed, since few accelerators
take shapes that depend on what is in an image; where fewer are kept, the rest is of class -1.
"""

from __future__ import annotations

from nas.export.suppression.onnx_operator import suppressed_onnx
from nas.export.suppression.suppressing import Suppressing, greedily_kept
from nas.spec.suppression import Suppression

__all__ = ["Suppressing", "describe_suppressed", "greedily_kept", "suppressed_onnx"]


def describe_suppressed(limits: Suppression) -> str:
    """Say what a graph gives that suppresses boxes."""
    return (
        f"(N, D, 6), of each image the boxes that are kept, the best first, {limits.most} at most: "
        "x1, y1, x2, y2 in pixels of what was read, score, class; where fewer are kept, the rest "
        "is of class -1"
    )
