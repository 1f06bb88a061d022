"""Spanning attention, i2RMB. Zhang et al. (EMOv2), https://arxiv.org/abs/2412.06674

No library has it; of EMO (https://arxiv.org/abs/2301.01146), its ancestor, timm has none of this
kind either. The residual block of the authors' late stages: a layer norm; attention of heads of
20 channels in the place of the expanding layer, within windows of 7 x 7 and within grids of as
many positions that span the whole map, both by the same queries and keys, and summed; a depthwise
5 x 5 convolution, a batch norm and SiLU, added to what comes in; a pointwise projection; one
learnable scale for each channel, which starts at 1e-6 there, and the input added. Values are
expanded, behind a GELU.

`expansion` is 3 and 3.5 in the authors' late stages. Here it is 1, since behind the expansion of
an inverted residual the channels are many already. Where 20 does not divide C, there are as many
heads as divide it, at most C // 20. A window that the map does not fill is filled with zeros
behind the norm, as there. Parameters, with e the expansion: 2C^2 + 2eC^2 + 5C + 28eC.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.windows import (
    attend,
    by_grid,
    by_window,
    filled_up,
    from_grid,
    from_windows,
    heads_of,
    too_small,
)
from nas.spec.architecture import Option

__all__ = ["I2RMB"]

_HEAD_CHANNELS = 20
_EPSILON = 1e-6


class SpanningAttention(nn.Module):
    """Window and grid attention in an inverted residual, added to the input."""

    def __init__(self, channels: int, window: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * channels
        self.window = (window, window)
        self.heads = heads_of(channels, _HEAD_CHANNELS)
        self.norm = LayerNorm2d(channels, eps=_EPSILON)
        self.query_key = nn.Conv2d(channels, 2 * channels, 1)
        self.value = nn.Conv2d(channels, hidden, 1)
        self.act = nn.GELU()
        self.local = ConvNormAct(hidden, hidden, 5, groups=hidden, act_layer=nn.SiLU)
        self.local.bn.eps = _EPSILON
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = filled_up(self.norm(x), self.window)
        q, k = self.query_key(y).chunk(2, dim=1)
        v = self.act(self.value(y))
        near = self._attend(*(by_window(part, self.window) for part in (q, k, v)))
        far = self._attend(*(by_grid(part, self.window) for part in (q, k, v)))
        y = from_windows(near, self.window, y) + from_grid(far, self.window, y)
        y = y[:, :, : x.shape[2], : x.shape[3]]
        projected: Tensor = self.project(y + self.local(y))
        return x + self.scale * projected

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, self.heads, (q.shape[1] // self.heads) ** -0.5)


def _make(channels: int, height: int, width: int, *, window: int, expansion: int) -> nn.Module:
    return SpanningAttention(channels, window, expansion)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return too_small(height, width, int(options["window"]))


I2RMB = Block(
    name="i2rmb",
    title="Spanning attention",
    paper="https://arxiv.org/abs/2412.06674",
    make=_make,
    closed_by=("scale",),
    gates=0,
    options={"window": (7, 4), "expansion": (1, 2, 3)},
    limits=_limits,
)
