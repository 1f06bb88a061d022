"""Efficient local attention. Xu, Wan, https://arxiv.org/abs/2403.01123

Own code, as the authors': means along rows and along columns, one 1-D convolution and one group
norm shared by both, a sigmoid each. timm's `EfficientLocalAttn` has a pair for each direction,
a single normalised group and a SiLU before the sigmoid. `variant` names the paper's four:

    base   kernel 7, depthwise, 16 normalised groups     Ck + 2C parameters
    tiny   kernel 5, depthwise, 32 normalised groups     Ck + 2C
    small  kernel 5, groups of 8 channels, 16            8Ck + 2C
    large  kernel 7, groups of 8 channels, 16            8Ck + 2C

The authors' MobileNetV2 has `large`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["ELA"]


class _Variant(NamedTuple):
    kernel_size: int
    channels_together: int
    normalised_groups: int


_VARIANTS = {
    "base": _Variant(7, 1, 16),
    "tiny": _Variant(5, 1, 32),
    "small": _Variant(5, 8, 16),
    "large": _Variant(7, 8, 16),
}


class EfficientLocal(nn.Module):
    """Efficient local attention: a gate along each axis, of one convolution and norm."""

    def __init__(self, channels: int, variant: _Variant) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            channels,
            channels,
            variant.kernel_size,
            padding=variant.kernel_size // 2,
            groups=channels // variant.channels_together,
            bias=False,
        )
        self.norm = nn.GroupNorm(variant.normalised_groups, channels)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        rows = self.gate(self.norm(self.conv(x.mean(dim=3))))
        columns = self.gate(self.norm(self.conv(x.mean(dim=2))))
        gated: Tensor = x * rows.unsqueeze(3) * columns.unsqueeze(2)
        return gated


def _make(channels: int, height: int, width: int, *, variant: str) -> nn.Module:
    return EfficientLocal(channels, _VARIANTS[variant])


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    _, together, groups = _VARIANTS[str(options["variant"])]
    for parts, of in ((groups, f"{groups} groups"), (together, f"groups of {together}")):
        if channels % parts:
            return f"its {channels} channels do not divide into {of}"
    if channels // groups * min(height, width) == 1:
        return f"one value per normalised group on a map of {height}x{width}"
    return None


ELA = Block(
    name="ela",
    title="Efficient local attention",
    paper="https://arxiv.org/abs/2403.01123",
    make=_make,
    closed_by=("norm.weight", "norm.bias"),
    gates=2,
    options={"variant": ("base", "tiny", "small", "large")},
    limits=_limits,
)
