"""HBONet: Harmonious Bottleneck on Two Orthogonal Dimensions.

https://arxiv.org/abs/1908.03888. The authors' code is d-li14/HBONet; this is their main model,
which contracts space by two inside a bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from timm.layers.helpers import make_divisible
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import Conv2dNormActivation

from nas.backbones.mobilenext import initialise

__all__ = ["NETWORKS", "HBONet", "HarmoniousBottleneck"]

_convolution = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
_linear = partial(Conv2dNormActivation, activation_layer=None)


class HarmoniousBottleneck(nn.Module):
    """A bottleneck in which space contracts while channels expand, and back.

    Half of the output is the input itself.
    A stride keeps the contraction: nothing is enlarged again, and the other half is pooled.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 2
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        # Half, but of other widths than the authors' fewer channels may come in than that.
        self.passed = min(out_channels - out_channels // 2, in_channels)
        self.computed = out_channels - self.passed
        self.contract = _linear(in_channels, in_channels, 5, stride=2, groups=in_channels)
        self.expand = _convolution(in_channels, hidden, 1)
        self.depthwise = _convolution(hidden, hidden, groups=hidden)
        self.project = _linear(hidden, self.computed, 1)
        self.smooth: nn.Module | None = None
        if stride == 1:
            self.smooth = _linear(self.computed, self.computed, 5, groups=self.computed)

    def forward(self, x: Tensor) -> Tensor:
        computed = self.project(self.depthwise(self.expand(self.contract(x))))
        passed = x[:, -self.passed :]
        # Read, not remembered: the stride is 1 once nas.backbones.stride took it away.
        factor = self.contract[0].stride[0]
        if self.smooth is None:
            passed = functional.avg_pool2d(passed, factor)
        else:
            enlarged = functional.interpolate(computed, scale_factor=float(factor))
            computed = self.smooth(x[:, : self.computed] + enlarged)
        return torch.cat((passed, computed), dim=1)


def _narrow(in_channels: int, out_channels: int, _stride: int, _expansion: int) -> nn.Module:
    layer: nn.Module = _linear(in_channels, out_channels, 1)
    return layer


_STEM, _HEAD = 32, 1600
# block, expansion, channels, blocks, stride of the first
_STAGES: tuple[tuple[Callable[[int, int, int, int], nn.Module], int, int, int, int], ...] = (
    (InvertedResidual, 1, 20, 1, 1),
    (HarmoniousBottleneck, 2, 36, 1, 1),
    (HarmoniousBottleneck, 2, 72, 3, 2),
    (HarmoniousBottleneck, 2, 96, 4, 2),
    (HarmoniousBottleneck, 2, 192, 4, 2),
    (HarmoniousBottleneck, 2, 288, 1, 1),
    (_narrow, 1, 144, 1, 1),
    (InvertedResidual, 6, 200, 2, 2),
    (InvertedResidual, 6, 400, 1, 1),
)
# The authors round channels to multiples of 8, but of 2 or 4 in the networks published as:
_DIVISORS = {0.1: 4, 0.25: 2, 0.5: 2}


class HBONet(nn.Module):
    """HBONet: (N, 3, H, W) -> (N, num_classes), H and W multiples of 32; last map H/32 by W/32."""

    def __init__(self, width: float = 1.0, num_classes: int = 1000) -> None:
        super().__init__()
        scaled = partial(make_divisible, divisor=_DIVISORS.get(width, 8))
        channels = scaled(_STEM * width)
        self.stem = _convolution(3, channels, stride=2)
        stages = []
        for block, expansion, full, blocks, stride in _STAGES:
            out = scaled(full * width)
            first = block(channels, out, stride, expansion)
            rest = (block(out, out, 1, expansion) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *rest))
            channels = out
        self.stages = nn.Sequential(*stages)
        head = scaled(_HEAD * max(width, 1.0))
        self.head = _convolution(channels, head, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(head, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.head(self.stages(self.stem(images)))
        logits: Tensor = self.classifier(self.pool(maps).flatten(1))
        return logits


def _maker(width: float) -> Callable[[int, float], nn.Module]:
    return lambda num_classes, factor: HBONet(width * factor, num_classes)


NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    f"hbonet_{round(100 * width):03}": _maker(width) for width in (0.1, 0.25, 0.35, 0.5, 0.8, 1.0)
}
