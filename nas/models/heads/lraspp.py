"""Lite R-ASPP, arXiv:1905.02244, section 6.4: torchvision's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torchvision.models.segmentation.lraspp import LRASPPHead

from nas.backbones import FeatureMap
from nas.models.heads.upsampling import upsampled

__all__ = ["LRASPP"]

_CHANNELS = 128
_FINE = 8


class LRASPP(nn.Module):
    """Scores of a fine map, added to those of the last one, which is gated by its mean."""

    neck: ClassVar[tuple[str, ...]] = ()

    def __init__(self, maps: Sequence[FeatureMap], classes: int) -> None:
        super().__init__()
        low, high = maps
        self.scores = LRASPPHead(low.channels, high.channels, classes, _CHANNELS)

    @staticmethod
    def read(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose the map of stride 8, or else that before the last; and the last."""
        *finer, last = maps
        if not finer:
            return ()
        return next((one for one in finer if one.stride >= _FINE), finer[-1]), last

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Map both to scores of pixels."""
        low, high = maps
        return upsampled(self.scores({"low": low, "high": high}), size)
