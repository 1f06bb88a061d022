"""A MobileNetV2 that is small enough to be trained fully on a CPU: seven inverted residuals.

The blocks are those of https://arxiv.org/abs/1801.04381. It is made for studies that need many
full trainings, and for images of 16 to 32 pixels (total stride 4); nobody has published it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from timm.models._efficientnet_blocks import InvertedResidual
from torch import Tensor, nn

__all__ = ["NETWORKS", "MobileNetV2Cifar"]

# Channels, stride; every hidden width is four times the channels that come in.
_BLOCKS = ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (48, 1), (48, 1))
_STEM, _HEAD = 16, 192


class MobileNetV2Cifar(nn.Module):
    """A small MobileNetV2: (N, 3, H, W) -> (N, num_classes); maps at 1, 1/2 and 1/4 of the side."""

    def __init__(self, num_classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        channels = _in_eights(_STEM * width)
        self.stem = _convolution(3, channels, 3)
        blocks = []
        for full, stride in _BLOCKS:
            out = _in_eights(full * width)
            blocks.append(
                InvertedResidual(
                    channels, out, stride=stride, exp_ratio=4.0, act_layer=partial(nn.ReLU6)
                )
            )
            channels = out
        self.blocks = nn.Sequential(*blocks)
        head = _in_eights(_HEAD * width)
        self.head = _convolution(channels, head, 1)
        self.classifier = nn.Linear(head, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.head(self.blocks(self.stem(images)))
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits


def _in_eights(channels: float) -> int:
    """Return the nearest multiple of 8, so that of these few channels each stage has its steps."""
    return max(8, 8 * int(channels / 8 + 0.5))


def _convolution(channels: int, out: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU6(),
    )


NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {"mobilenetv2_cifar": MobileNetV2Cifar}
