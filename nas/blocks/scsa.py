"""Spatial and channel synergistic attention. Si et al., https://arxiv.org/abs/2407.05128

Own code, as the authors'. `smsa`, the spatial half: means along rows and along columns, each in
four groups of channels with depthwise convolutions of 3, 5, 7 and 9 that both directions share,
group norm in four groups, a sigmoid. `pcsa`, the channel half: average pooling in windows, group
norm in one group, queries, keys and values by one weight a channel, attention among the channels
of a head, its mean over the windows, a sigmoid. `scsa` is one after the other. The authors'
models all have one head and windows of 7.

The mean over the windows is taken of the values, before the attention weighs them: the same sum
in another order, and a smaller product. Parameters: 11C, 5C and 16C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.block import Block
from nas.blocks.gate import DoubledGate
from nas.blocks.limits import undivided
from nas.blocks.windows import too_small
from nas.spec.architecture import Option

__all__ = ["PCSA", "SCSA", "SMSA"]


class SpatialHalf(nn.Module):
    """The spatial attention of SCSA: a gate along each axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        group = channels // 4
        self.convs = nn.ModuleList(
            nn.Conv1d(group, group, size, padding=size // 2, groups=group) for size in (3, 5, 7, 9)
        )
        self.norm_h = nn.GroupNorm(4, channels)
        self.norm_w = nn.GroupNorm(4, channels)
        self.gate = nn.Sigmoid()

    def along(self, means: Tensor) -> Tensor:
        """Convolve means along an axis, a kernel for each group of channels."""
        groups = means.chunk(4, dim=1)
        return torch.cat([conv(group) for conv, group in zip(self.convs, groups, strict=True)], 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.gate(self.norm_h(self.along(x.mean(dim=3))))
        columns = self.gate(self.norm_w(self.along(x.mean(dim=2))))
        gated: Tensor = x * rows.unsqueeze(3) * columns.unsqueeze(2)
        return gated


class ChannelHalf(nn.Module):
    """The channel attention of SCSA.

    gates_before: how many gates its input has passed, in the same block.
    """

    def __init__(self, channels: int, window: int, heads: int, gates_before: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.gates_before = gates_before
        self.scale = (channels // heads) ** -0.5
        self.pool = nn.AvgPool2d(window)
        self.norm = nn.GroupNorm(1, channels)
        self.query = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.gate = nn.Sigmoid()

    def normalise(self, pooled: Tensor) -> Tensor:
        """Normalise so that folding the doubled gates before changes nothing."""
        # Epsilon grows with the variance when the gates before are doubled, and shrinks with
        # it when their doubling is folded away: so that folding changes nothing here.
        doubled = self.gates_before if isinstance(self.gate, DoubledGate) else 0
        norm = self.norm
        return F.group_norm(pooled, 1, norm.weight, norm.bias, norm.eps * 4.0**doubled)

    def in_heads(self, windows: Tensor) -> Tensor:
        """Return channels by head: (N, heads, channels of a head, windows)."""
        channels = windows.shape[1]
        return windows.reshape(windows.shape[0], self.heads, channels // self.heads, -1)

    def forward(self, x: Tensor) -> Tensor:
        windows = self.normalise(self.pool(x))
        query, key = self.in_heads(self.query(windows)), self.in_heads(self.key(windows))
        value = self.in_heads(self.value(windows)).mean(dim=3, keepdim=True)
        attention = (query @ key.transpose(2, 3) * self.scale).softmax(dim=3)
        gate: Tensor = self.gate((attention @ value).reshape(-1, x.shape[1], 1, 1))
        return x * gate


class Synergistic(nn.Module):
    """SCSA: the spatial half, then the channel half."""

    def __init__(self, channels: int, window: int, heads: int) -> None:
        super().__init__()
        self.spatial = SpatialHalf(channels)
        self.channel = ChannelHalf(channels, window, heads, gates_before=2)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.channel(self.spatial(x))
        return gated


def _make_spatial(channels: int, height: int, width: int) -> nn.Module:
    return SpatialHalf(channels)


def _make_channel(channels: int, height: int, width: int, *, window: int, heads: int) -> nn.Module:
    return ChannelHalf(channels, window, heads)


def _make(channels: int, height: int, width: int, *, window: int, heads: int) -> nn.Module:
    return Synergistic(channels, window, heads)


def _limits_spatial(
    channels: int, height: int, width: int, options: Mapping[str, Option]
) -> str | None:
    if (reason := undivided(channels, 4, "groups")) is not None:
        return reason
    if channels // 4 * min(height, width) == 1:
        return f"one value per normalised group on a map of {height}x{width}"
    return None


def _limits_channel(
    channels: int, height: int, width: int, options: Mapping[str, Option]
) -> str | None:
    window, heads = int(options["window"]), int(options["heads"])
    if channels == 1:
        # Its attention is 1 and its normalised mean 0, whatever the image; and of one window
        # torch's group norm refuses a single image.
        return "its one channel has no others to attend to"
    if (reason := undivided(channels, heads, "heads")) is not None:
        return reason
    return too_small(height, width, window)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return _limits_spatial(channels, height, width, options) or _limits_channel(
        channels, height, width, options
    )


SMSA = Block(
    name="smsa",
    title="Shared multi-semantic spatial attention",
    paper="https://arxiv.org/abs/2407.05128",
    make=_make_spatial,
    closed_by=("norm_h.weight", "norm_h.bias", "norm_w.weight", "norm_w.bias"),
    gates=2,
    limits=_limits_spatial,
)

PCSA = Block(
    name="pcsa",
    title="Progressive channel-wise self-attention",
    paper="https://arxiv.org/abs/2407.05128",
    make=_make_channel,
    closed_by=("value.weight",),
    options={"window": (7, 4), "heads": (1, 4, 8)},
    limits=_limits_channel,
)

SCSA = Block(
    name="scsa",
    title="Spatial and channel synergistic attention",
    paper="https://arxiv.org/abs/2407.05128",
    make=_make,
    closed_by=(
        "spatial.norm_h.weight",
        "spatial.norm_h.bias",
        "spatial.norm_w.weight",
        "spatial.norm_w.bias",
        "channel.value.weight",
    ),
    gates=3,
    options={"window": (7, 4), "heads": (1, 4, 8)},
    limits=_limits,
)
