"""What is kept of all that a detector says of an image: few boxes, none of them twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SUPPRESSION", "SuppressedIn", "Suppression"]


@dataclass(frozen=True, slots=True)
class Suppression:
    """The limits by which boxes are kept.

    score: the least that is looked at.
    candidates: how many are, those of the highest scores.
    overlap: intersection over union from which on, of two boxes of one class, that with the lower
        score is left out.
    most: how many are kept.
    """

    score: float = 0.05
    candidates: int = 1000
    overlap: float = 0.5
    most: int = 100


SuppressedIn = Literal["outside", "graph"]
"""The place where boxes of an exported network are suppressed: behind its graph, or within."""

SUPPRESSION = Suppression()
"""Those that detectors are judged by, here and in packs: torchvision's of most of its detectors."""
