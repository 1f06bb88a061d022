"""MobileViG: Graph-Based Sparse Attention for Mobile Vision Applications.

https://arxiv.org/abs/2307.00395. Follows the authors' code (SLDGroup/MobileViG). They train it with
a second classifier, which learns from a teacher, and answer with the mean of both, which is one
classifier. Here is that one; the second is in the parameters that they publish.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from nas.blocks.svga import SparseGraphAttention

__all__ = ["NETWORKS", "InvertedResidual", "MobileViG"]

_EXPANSION = 4
_STRIDE = 2  # between positions that the graph joins
_EMBEDDING = 512
_SCALE = 1e-5


def _convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution with bias, as all of theirs, and its batch norm."""
    layer = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups
    )
    return [layer, nn.BatchNorm2d(out_channels)]


class InvertedResidual(nn.Module):
    """An inverted residual with one learnable scale for each channel before its sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = _EXPANSION * channels
        self.scale = nn.Parameter(torch.full((channels, 1, 1), _SCALE))
        self.expand = nn.Sequential(*_convolution(channels, hidden, 1), nn.GELU())
        self.depthwise = nn.Sequential(*_convolution(hidden, hidden, 3, groups=hidden), nn.GELU())
        self.project = nn.Sequential(*_convolution(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + self.scale * projected


class FeedForward(nn.Module):
    """Two pointwise convolutions, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = _EXPANSION * channels
        self.expand = nn.Sequential(*_convolution(channels, hidden, 1), nn.GELU())
        self.project = nn.Sequential(*_convolution(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.project(self.expand(x))
        return x + projected


def _graph_block(channels: int) -> nn.Module:
    return nn.Sequential(SparseGraphAttention(channels, _STRIDE), FeedForward(channels))


class MobileViG(nn.Module):
    """MobileViG: (N, 3, H, W) -> (N, num_classes); the last map is H/32 by W/32, rounded up.

    channels, blocks: of each stage; the last one is a graph's, the others inverted residuals.
    """

    def __init__(
        self, channels: tuple[int, ...], blocks: tuple[int, ...], num_classes: int = 1000
    ) -> None:
        super().__init__()
        first = channels[0]
        self.stem = nn.Sequential(
            *_convolution(3, first // 2, 3, stride=2),
            nn.GELU(),
            *_convolution(first // 2, first, 3, stride=2),
            nn.GELU(),
        )
        stages = []
        for number, (out, count) in enumerate(zip(channels, blocks, strict=True)):
            make = _graph_block if number == len(channels) - 1 else InvertedResidual
            before = channels[number - 1] if number else out
            down = nn.Sequential(*_convolution(before, out, 3, stride=2))
            rest = [make(out) for _ in range(count)]
            stages.append(nn.Sequential(*([down] if number else []), *rest))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.embed = nn.Sequential(*_convolution(channels[-1], _EMBEDDING, 1), nn.GELU())
        self.classifier = nn.Conv2d(_EMBEDDING, num_classes, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages(self.stem(images))
        logits: Tensor = self.classifier(self.embed(self.pool(maps)))
        return logits.flatten(1)


def _make(
    channels: tuple[int, ...], blocks: tuple[int, ...], num_classes: int, factor: float
) -> nn.Module:
    # In twos: the stem has half as many channels as the first stage.
    wide = tuple(2 * round(number * factor / 2) for number in channels)
    return MobileViG(wide, blocks, num_classes)


NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    "mobilevig_ti": partial(_make, (42, 84, 168, 256), (2, 2, 6, 2)),
    "mobilevig_s": partial(_make, (42, 84, 176, 256), (3, 3, 9, 3)),
}
