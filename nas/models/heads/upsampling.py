"""Maps made larger: to that of a finer one, or scores of places to scores of pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["upsampled"]


def upsampled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate (N, channels, ...) to a size (height, width), with corners not aligned."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
