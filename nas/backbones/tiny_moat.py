"""Tiny MOAT: Alternating Mobile Convolution and Attention Brings Strong Vision Models.

https://arxiv.org/abs/2210.01820. Follows the authors' code, google-research/deeplab2, which is
TensorFlow: maps are padded as there, behind rather than before where a side is even. Relative
positions are tables for images of 224 pixels, which are stretched to others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from timm.layers.create_conv2d import create_conv2d
from timm.layers.norm import LayerNorm2d
from timm.layers.squeeze_excite import SEModule
from torch import Tensor, nn

from nas.blocks.moat import MoatAttention

__all__ = ["NETWORKS", "MobileConvolution", "TinyMOAT"]

_EXPANSION = 4
_REDUCTION = 4  # of squeeze-and-excitation, counted from the block's output
_BLOCKS = (2, 3, 7, 2)
_TABLES = (None, None, 14, 7)  # the side that each stage's positions are for; None: no attention
_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


def _convolution(
    in_channels: int, out_channels: int, stride: int = 1, groups: int = 1, *, bias: bool = True
) -> nn.Module:
    """Return a 3 x 3 convolution that is padded as TensorFlow's."""
    layer: nn.Module = create_conv2d(  # type: ignore[no-untyped-call]
        in_channels, out_channels, 3, stride=stride, padding="same", groups=groups, bias=bias
    )
    return layer


class MobileConvolution(nn.Module):
    """An inverted residual with a norm before it; with a stride, the shortcut is pooled."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, excitation: bool
    ) -> None:
        super().__init__()
        hidden = _EXPANSION * out_channels
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.pool: nn.Module = nn.Identity()
        if stride > 1:
            self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.norm = _norm(in_channels)
        self.expand = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.expand_norm = _norm(hidden)
        self.act = nn.GELU()
        self.depthwise = _convolution(hidden, hidden, stride, hidden, bias=False)
        self.depthwise_norm = _norm(hidden)
        self.se: nn.Module = nn.Identity()
        if excitation:
            squeezed = max(1, out_channels // _REDUCTION)
            self.se = SEModule(hidden, rd_channels=squeezed, act_layer=nn.SiLU)
        self.project = nn.Conv2d(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.expand_norm(self.expand(self.norm(x))))
        y = self.se(self.act(self.depthwise_norm(self.depthwise(y))))
        projected: Tensor = self.project(y)
        shortcut: Tensor = self.shortcut(self.pool(x))
        return shortcut + projected


def _stage(before: int, channels: int, blocks: int, table: int | None) -> nn.Module:
    layers: list[nn.Module] = []
    for number in range(blocks):
        layers.append(
            MobileConvolution(
                before if number == 0 else channels,
                channels,
                2 if number == 0 else 1,
                excitation=table is None,
            )
        )
        if table is not None:
            layers.append(MoatAttention(channels, table))
    return nn.Sequential(*layers)


class TinyMOAT(nn.Module):
    """Tiny MOAT: (N, 3, H, W) -> (N, num_classes); the last map is H/32 by W/32, rounded up.

    channels: of each stage; the stem has as many as the first.
    """

    def __init__(self, channels: tuple[int, ...], num_classes: int = 1000) -> None:
        super().__init__()
        first = channels[0]
        self.stem = nn.Sequential(
            _convolution(3, first, 2),
            _norm(first),
            nn.GELU(),
            _convolution(first, first),
        )
        befores = (first, *channels)
        self.stages = nn.Sequential(
            *(
                _stage(befores[number], channels[number], count, table)
                for number, (count, table) in enumerate(zip(_BLOCKS, _TABLES, strict=True))
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = LayerNorm2d(channels[-1], eps=1e-5)
        self.classifier = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.pool(self.stages(self.stem(images))))
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits


def _make(channels: tuple[int, ...], num_classes: int, factor: float) -> nn.Module:
    # In steps of eight, and of a head's 32 in the stages that attend.
    steps = (8, 8, 32, 32)
    wide = tuple(
        number if factor == 1 else max(1, round(number * factor / step)) * step
        for number, step in zip(channels, steps, strict=True)
    )
    return TinyMOAT(wide, num_classes)


NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    "tiny_moat_0": partial(_make, (32, 64, 128, 256)),
    "tiny_moat_1": partial(_make, (40, 80, 160, 320)),
}
