"""DeepLabV3, arXiv:1706.05587, with depthwise separable convolutions in its pyramid.

So arXiv:2103.02907 has it on MobileNetV2 for segmentation. The pyramid (ASPP) is that of
segmentation-models-pytorch; the classifier follows it at once, as in DeepLab's own code, where
segmentation-models-pytorch and torchvision have another full 3x3 convolution between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from nas.backbones import FeatureMap
from nas.models.heads.smp import decoder
from nas.models.heads.upsampling import upsampled

__all__ = ["DeepLabV3"]

_CHANNELS = 256
_DROPOUT = 0.5
_REACH = 96
"""The rate of the first dilated convolution in pixels of the image: 6 at stride 16, 12 at 8."""


class DeepLabV3(nn.Module):
    """A pyramid of dilated convolutions on the last map."""

    neck: ClassVar[tuple[str, ...]] = ()

    def __init__(self, maps: Sequence[FeatureMap], classes: int) -> None:
        super().__init__()
        (last,) = maps
        rate = max(1, _REACH // last.stride)
        self.aspp = decoder("deeplabv3", "deeplabv3").ASPP(
            last.channels,
            _CHANNELS,
            (rate, 2 * rate, 3 * rate),
            separable=True,
            dropout=_DROPOUT,
        )
        # Of one image, a batch norm of the pooled 1x1 map has no variance to train with.
        pooling = self.aspp.convs[-1]
        assert isinstance(pooling[2], nn.BatchNorm2d)
        pooling[2] = nn.Identity()
        self.classifier = nn.Conv2d(_CHANNELS, classes, 1)

    @staticmethod
    def read(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose the last map."""
        return maps[-1:]

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Map the last map to scores of pixels."""
        return upsampled(self.classifier(self.aspp(maps[0])), size)
