"""A feature pyramid for segmentation (FPN).

torchvision's pyramid, arXiv:1612.03144, with the branch of Panoptic FPN, arXiv:1901.02446, section
3.1 and figure 3. The FPN of segmentation-models-pytorch is not used, since it only takes images
whose sides are multiples of 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from nas.backbones import FeatureMap
from nas.models.heads.upsampling import upsampled

__all__ = ["FPN"]

_CHANNELS = 128
"""Of the pyramid and the branch, which has as many in the paper; its pyramid, of ResNets, 256."""

_GROUPS = 32
_DROPOUT = 0.2  # of segmentation-models-pytorch
_FINEST = 4
_MOST = 4


class FPN(nn.Module):
    """Maps with what the coarser ones know, brought to one size and added."""

    neck: ClassVar[tuple[str, ...]] = ("pyramid",)

    def __init__(self, maps: Sequence[FeatureMap], classes: int) -> None:
        super().__init__()
        self.pyramid = FeaturePyramidNetwork([one.channels for one in maps], _CHANNELS)
        self.finest = _layer()
        self.coarser = nn.ModuleList(_Branch(finer) for finer in range(1, len(maps)))
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.classifier = nn.Conv2d(_CHANNELS, classes, 1)

    @staticmethod
    def read(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose the last four, of stride 4 and more where there are two of them."""
        coarse = tuple(one for one in maps if one.stride >= _FINEST)
        chosen = coarse if len(coarse) > 1 else maps
        return chosen[-_MOST:] if len(chosen) > 1 else ()

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Map all to scores of pixels."""
        levels = self.pyramid({str(number): one for number, one in enumerate(maps)})
        finest, *coarser = levels.values()
        sizes = [(one.shape[-2], one.shape[-1]) for one in maps]
        total = self.finest(finest)
        for number, (branch, level) in enumerate(zip(self.coarser, coarser, strict=True)):
            total = total + branch(level, sizes[number::-1])
        return upsampled(self.classifier(self.dropout(total)), size)


class _Branch(nn.Module):
    """A level made larger step by step, to the size of each finer one."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer() for _ in range(steps))

    def forward(self, level: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Map it to the last of the sizes."""
        for layer, size in zip(self.layers, sizes, strict=True):
            level = upsampled(layer(level), size)
        return level


def _layer() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False),
        nn.GroupNorm(_GROUPS, _CHANNELS),
        nn.ReLU(inplace=True),
    )
