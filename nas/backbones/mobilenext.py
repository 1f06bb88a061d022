"""MobileNeXt: Rethinking Bottleneck Structure for Efficient Mobile Network Design.

https://arxiv.org/abs/2007.02269. Follows the authors' code (yitu-opensource/MobileNeXt,
`mnext.py`), which at widths 0.35 and 0.75 holds more parameters (1.91 M, 2.77 M) than they
publish (1.8 M, 2.5 M).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from timm.layers.helpers import make_divisible
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

__all__ = ["NETWORKS", "MobileNeXt", "Sandglass", "initialise"]

_in_steps = partial(make_divisible, divisor=8)

_STEM = 32
# reduction, channels, blocks, stride of the first
_STAGES = (
    (2, 96, 1, 2),
    (6, 144, 1, 1),
    (6, 192, 3, 2),
    (6, 288, 3, 2),
    (6, 384, 4, 1),
    (6, 576, 4, 2),
    (6, 960, 3, 1),
    (6, 1280, 1, 1),
)


class Sandglass(nn.Module):
    """A block with a waist; depthwise convolutions and shortcut sit at its wide ends.

    transition: whether it is the first block of several in a stage, which the authors' code strips
        of its first depthwise convolution, and of its last one too unless that has a stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        reduction: int = 6,
        transition: bool = False,
    ) -> None:
        super().__init__()
        waist = _waist(in_channels, out_channels, reduction)
        convolution = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
        linear = partial(Conv2dNormActivation, activation_layer=None)
        self.first_depthwise: nn.Module = nn.Identity()
        if not transition:
            self.first_depthwise = convolution(in_channels, in_channels, groups=in_channels)
        self.reduce = linear(in_channels, waist, 1)
        self.expand = convolution(waist, out_channels, 1)
        self.last_depthwise: nn.Module = nn.Identity()
        if not transition or stride > 1:
            self.last_depthwise = linear(
                out_channels, out_channels, stride=stride, groups=out_channels
            )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last_depthwise(self.expand(self.reduce(self.first_depthwise(x))))
        return x + out if self.has_shortcut else out


class MobileNeXt(nn.Module):
    """MobileNeXt: (N, 3, H, W) -> (N, num_classes); the last map is H/32 by W/32, rounded up."""

    def __init__(self, width: float = 1.0, num_classes: int = 1000) -> None:
        super().__init__()
        channels = _in_steps(_STEM * width)
        self.stem = Conv2dNormActivation(3, channels, stride=2, activation_layer=nn.ReLU6)
        stages = []
        for reduction, full, blocks, stride in _STAGES:
            # The last stage never gets narrower than at width 1.
            out = _in_steps(full * (max(width, 1.0) if full == 1280 else width))
            first = Sandglass(
                channels, out, stride=stride, reduction=reduction, transition=blocks > 1
            )
            stages.append(nn.Sequential(first, *(Sandglass(out, out) for _ in range(blocks - 1))))
            channels = out
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, num_classes))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.stages(self.stem(images))).flatten(1))
        return logits


def initialise(network: nn.Module) -> None:
    """Set the weights as the PyTorch port of MobileNetV2 does.

    MobileNeXt and HBONet are built on it.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)


def _waist(in_channels: int, out_channels: int, reduction: int) -> int:
    """Return the channels of a waist: those of the input over the reduction.

    Where that is under a sixth of the output, the authors take the sixth, in steps of 16
    channels: 136 channels get a waist of 32, not of 22.
    """
    waist = in_channels // reduction
    if 6 * waist < out_channels:
        waist = _in_steps(math.ceil(out_channels / 6), divisor=16)
    return waist


def _maker(width: float) -> Callable[[int, float], nn.Module]:
    return lambda num_classes, factor: MobileNeXt(width * factor, num_classes)


NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    f"mobilenext_{round(100 * width):03}": _maker(width) for width in (0.35, 0.5, 0.75, 1.0, 1.4)
}
