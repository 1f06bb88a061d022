"""A MobileNetV2 small enough to be trained to the end on a CPU: seven inverted residuals.

    nas search SPACE --backbone benchmarks.small_mobilenet:small_mobilenet ...

For studies that need many full trainings. Made for images of 16 to 32 pixels (total stride 4).
"""

from __future__ import annotations

from functools import partial

from timm.models._efficientnet_blocks import InvertedResidual
from torch import Tensor, nn

__all__ = ["small_mobilenet"]

# Channels, stride; every hidden width is four times the channels that come in.
_BLOCKS = ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (48, 1), (48, 1))
_STEM, _HEAD = 16, 192


class SmallMobileNet(nn.Module):
    """MobileNetV2's blocks (arXiv:1801.04381) in three stages at 1, 1/2 and 1/4 of the image."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = _convolution(3, _STEM, 3)
        made, channels = [], _STEM
        for out, stride in _BLOCKS:
            made.append(
                InvertedResidual(
                    channels, out, stride=stride, exp_ratio=4.0, act_layer=partial(nn.ReLU6)
                )
            )
            channels = out
        self.blocks = nn.Sequential(*made)
        self.head = _convolution(channels, _HEAD, 1)
        self.classifier = nn.Linear(_HEAD, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        features = self.head(self.blocks(self.stem(images)))
        scores: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return scores


def _convolution(channels: int, out: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU6(),
    )


def small_mobilenet(num_classes: int) -> nn.Module:
    """The network, with random weights."""
    return SmallMobileNet(num_classes)
