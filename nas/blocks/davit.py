"""Dual attention. Ding et al. (DaViT), https://arxiv.org/abs/2204.03645

timm has the network, not its two kinds of attention by themselves. `davit_window` attends between
the positions of each 7 x 7 window, `davit_channel` between the channels of each group, whose
tokens are whole channels: it sees the whole map at a cost that is linear in it. Both
are here as the first half of the authors' block: a depthwise 3 x 3 convolution that is added to
the input, for positions, then a layer norm, the attention with its projection, and that added.
The second half, a feed-forward layer, is no attention and left out.

Heads and groups have 32 channels there; where 32 does not divide C, there are as many as divide
it, at most C // 32. A window that the map does not fill is filled with zeros behind the norm, as
there. Parameters of either: 10C + 2C + 3C (C + 1) + C (C + 1) = 4C^2 + 16C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.windows import attend, by_window, from_windows, heads_of, too_small
from nas.spec.architecture import Option

__all__ = ["DAVIT_CHANNEL", "DAVIT_WINDOW"]

_CLOSED = ("place.weight", "place.bias", "project.weight", "project.bias")


class _DualAttention(nn.Module, ABC):
    """A half of DaViT's block without its attention: positions, norm, projections, the sums."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = heads_of(channels)
        self.scale = (channels // self.heads) ** -0.5
        self.place = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = LayerNorm2d(channels, eps=1e-5)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.place(x)
        projected: Tensor = self.project(self.attend(self.norm(x)))
        return x + projected

    @abstractmethod
    def attend(self, x: Tensor) -> Tensor:
        """Mix the normalised map: (N, C, H, W), likewise out."""


class WindowAttention(_DualAttention):
    """Attention between the positions of each window."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(channels)
        self.window = (window, window)

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(by_window(x, self.window)).chunk(3, dim=1)
        return from_windows(attend(q, k, v, self.heads, self.scale), self.window, x)


class ChannelGroupAttention(_DualAttention):
    """Attention between the channels of each group."""

    def attend(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        q, k, v = (
            part.reshape(-1, self.heads, channels // self.heads, height * width)
            for part in self.qkv(x).chunk(3, dim=1)
        )
        weights = (k * self.scale @ v.transpose(2, 3)).softmax(dim=3)
        attended: Tensor = (weights @ q).reshape(-1, channels, height, width)
        return attended


def _make_window(channels: int, height: int, width: int, *, window: int) -> nn.Module:
    return WindowAttention(channels, window)


def _make_channel(channels: int, height: int, width: int) -> nn.Module:
    return ChannelGroupAttention(channels)


def _limits_window(
    channels: int, height: int, width: int, options: Mapping[str, Option]
) -> str | None:
    return too_small(height, width, int(options["window"]))


DAVIT_WINDOW = Block(
    name="davit_window",
    title="DaViT's window attention",
    paper="https://arxiv.org/abs/2204.03645",
    make=_make_window,
    closed_by=_CLOSED,
    gates=0,
    options={"window": (7, 4)},
    limits=_limits_window,
)

DAVIT_CHANNEL = Block(
    name="davit_channel",
    title="DaViT's channel group attention",
    paper="https://arxiv.org/abs/2204.03645",
    make=_make_channel,
    closed_by=_CLOSED,
    gates=0,
)
