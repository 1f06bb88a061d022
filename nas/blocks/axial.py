"""Axial attention. Wang et al. (Axial-DeepLab), https://arxiv.org/abs/2003.07853

No library has it. The residual block of the authors' repository: a pointwise convolution to m
channels, position-sensitive attention along columns and then along rows (equation 4), a
pointwise convolution back; here with C channels on both ends, and without the ReLU behind the
sum, since an insertion must be able to leave its map alone. As there, similarities and outputs
are batch-normalised before they are summed, queries and keys have half as many channels as
values, the position tables are as long as an axis, so they belong to one map size, and the
last norm starts at zero.

m is C / 2 there (r = 2); here it is rounded to whole even heads, at least 2 per head.
Parameters, with d = m / heads: 2Cm + 2m + 2C + 2 (2m^2 + 8m + 6 heads) + 2d (2H - 1 + 2W - 1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.conv_bn_act import ConvNormAct
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions
from nas.spec.architecture import Option

__all__ = ["AXIAL"]


class AxialAttention(nn.Module):
    """Position-sensitive attention along the last axis: (N, C, L) in and out."""

    relative: Tensor

    def __init__(self, channels: int, length: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, channels // heads
        self.tables = nn.Parameter(torch.randn(2 * self.each, 2 * length - 1) / self.each**0.5)
        self.qkv = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.norm_qkv = nn.BatchNorm1d(2 * channels)
        self.norm_similarity = nn.BatchNorm2d(3 * heads)
        self.norm_output = nn.BatchNorm1d(2 * channels)
        nn.init.normal_(self.qkv.weight, std=channels**-0.5)
        place = torch.arange(length)
        self.register_buffer("relative", place[:, None] - place + length - 1, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        length, parts = x.shape[-1], [self.each // 2, self.each // 2, self.each]
        qkv = self.norm_qkv(self.qkv(x)).reshape(-1, self.heads, 2 * self.each, length)
        q, k, v = torch.split(qkv, parts, dim=2)
        # One vector per pair of places, for queries, keys and values: (channels, L, L).
        r_q, r_k, r_v = torch.split(self.tables[:, self.relative], parts)
        similarity = torch.cat(
            [
                q.transpose(2, 3) @ k,
                torch.einsum("nhci,cij->nhij", q, r_q),
                torch.einsum("nhcj,cji->nhij", k, r_k),
            ],
            dim=1,
        )
        content, query, key = self.norm_similarity(similarity).chunk(3, dim=1)
        weights = (content + query + key).softmax(dim=3)
        output = torch.cat(
            [v @ weights.transpose(2, 3), torch.einsum("nhij,cij->nhci", weights, r_v)], dim=3
        )
        # Each channel's value and its position's, side by side.
        pairs = self.norm_output(output.reshape(-1, 2 * self.heads * self.each, length))
        summed: Tensor = pairs.reshape(-1, self.heads * self.each, 2, length).sum(dim=2)
        return summed


class AxialInsertion(nn.Module):
    """Axial attention that is added to its input: x + up(columns and rows(down(x)))."""

    def __init__(self, channels: int, height: int, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.down = ConvNormAct(channels, hidden, 1)
        self.columns = AxialAttention(hidden, height, heads)
        self.rows = AxialAttention(hidden, width, heads)
        self.act = nn.ReLU()
        self.up = ConvNormAct(hidden, channels, 1, apply_act=False)
        nn.init.zeros_(self.up.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(x)
        channels, height, width = y.shape[1:]
        # Every column, and then every row, is an image of its own.
        y = self.columns(y.permute(0, 3, 1, 2).reshape(-1, channels, height))
        y = y.reshape(-1, width, channels, height).permute(0, 3, 2, 1)
        y = self.rows(y.reshape(-1, channels, width))
        y = y.reshape(-1, height, channels, width).transpose(1, 2)
        y = self.up(self.act(y))
        return x + y


def _width(channels: int, options: Mapping[str, Option]) -> int:
    whole = 2 * int(options["heads"])
    return max(1, round(channels / int(options["reduction"]) / whole)) * whole


def _make(channels: int, height: int, width: int, *, reduction: int, heads: int) -> nn.Module:
    hidden = _width(channels, {"reduction": reduction, "heads": heads})
    return AxialInsertion(channels, height, width, hidden, heads)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return too_many_positions(height, width)


AXIAL = Block(
    name="axial",
    title="Axial attention",
    paper="https://arxiv.org/abs/2003.07853",
    make=_make,
    closed_by=("up.bn.weight", "up.bn.bias"),
    gates=0,
    options={"reduction": (2, 4), "heads": (8, 4)},
    width=_width,
    limits=_limits,
)
