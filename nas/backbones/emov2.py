"""EMOv2: Pushing 5M Vision Model Frontier.

https://arxiv.org/abs/2412.06674. Follows the authors' code (zhangzjn/EMOv2), its networks of 1 and
2 million parameters: residual blocks of one kind, whose expanding layer is a pointwise convolution
in the first two stages and the spanning attention in the last two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from nas.blocks.i2rmb import SpanningAttention

__all__ = ["NETWORKS", "EMOv2", "ResidualMobileBlock"]

_EPSILON = 1e-6
_SCALE = 1e-6
_WINDOW = 7
_EXPANSIONS = (2.0, 2.5, 3.0, 3.5)
_HEAD_CHANNELS = 20
_ATTENDING = (False, False, True, True)


class ResidualMobileBlock(nn.Module):
    """The block with a pointwise convolution for its expanding layer.

    With a stride it expands twice as much, and nothing is added to what comes out.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int, stride: int, *, attending: bool
    ) -> None:
        super().__init__()
        self.adds = stride == 1
        self.norm = (
            LayerNorm2d(in_channels, eps=_EPSILON)
            if attending
            else nn.BatchNorm2d(in_channels, eps=_EPSILON)
        )
        self.expand = nn.Conv2d(in_channels, hidden, 1)
        self.act = nn.GELU() if attending else nn.SiLU()
        self.local = ConvNormAct(hidden, hidden, 5, stride, groups=hidden, act_layer=nn.SiLU)
        self.local.bn.eps = _EPSILON
        self.project = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.scale = nn.Parameter(torch.full((out_channels, 1, 1), _SCALE))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.expand(self.norm(x)))
        if not self.adds:
            scaled: Tensor = self.scale * self.project(self.local(y))
            return scaled
        projected: Tensor = self.project(y + self.local(y))
        return x + self.scale * projected


def _stage(
    before: int, channels: int, blocks: int, expansion: float, *, attending: bool
) -> nn.Module:
    first = ResidualMobileBlock(
        before, channels, int(before * 2 * expansion), 2, attending=attending
    )
    hidden = int(channels * expansion)
    rest: list[nn.Module] = []
    for _ in range(blocks - 1):
        if attending:
            rest.append(SpanningAttention(channels, _WINDOW, hidden, channels // _HEAD_CHANNELS))
        else:
            rest.append(ResidualMobileBlock(channels, channels, hidden, 1, attending=False))
    return nn.Sequential(first, *rest)


class EMOv2(nn.Module):
    """EMOv2: (N, 3, H, W) -> (N, num_classes); the last map is H/32 by W/32, rounded up.

    channels, blocks: of each stage.
    """

    def __init__(
        self, channels: tuple[int, ...], blocks: tuple[int, ...], num_classes: int = 1000
    ) -> None:
        super().__init__()
        stem = channels[0] // 2
        self.stem = nn.Sequential(
            ConvNormAct(3, stem, 3, 2, bias=True, act_layer=nn.SiLU),
            ConvNormAct(stem, stem, 3, groups=stem, act_layer=nn.SiLU),
            nn.Conv2d(stem, stem, 1, bias=False),
        )
        for layer in self.stem:
            if isinstance(layer, ConvNormAct):
                layer.bn.eps = _EPSILON
        befores = (stem, *channels)
        self.stages = nn.Sequential(
            *(
                _stage(befores[number], channels[number], count, expansion, attending=attending)
                for number, (count, expansion, attending) in enumerate(
                    zip(blocks, _EXPANSIONS, _ATTENDING, strict=True)
                )
            )
        )
        self.norm = LayerNorm2d(channels[-1], eps=_EPSILON)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels[-1], num_classes)
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.stages(self.stem(images)))
        logits: Tensor = self.classifier(self.pool(maps).flatten(1))
        return logits


def _make(
    channels: tuple[int, ...], blocks: tuple[int, ...], num_classes: int, factor: float
) -> nn.Module:
    # Whole heads in the stages that attend, and in twos before: a half is expanded first.
    steps = (4, 4, 2 * _HEAD_CHANNELS, _HEAD_CHANNELS)
    pairs = zip(channels, steps, strict=True)
    wide = tuple(
        number if factor == 1 else max(1, round(number * factor / step)) * step
        for number, step in pairs
    )
    return EMOv2(wide, blocks, num_classes)


NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    "emov2_1m": partial(_make, (32, 48, 80, 180), (2, 2, 8, 3)),
    "emov2_2m": partial(_make, (32, 48, 120, 200), (3, 3, 9, 3)),
}
