"""MOAT's attention. Yang et al., https://arxiv.org/abs/2210.01820

No library has it; the authors' code (google-research/deeplab2) is TensorFlow. The half of their
block that follows the mobile convolution, for behind the shortcut of an inverted residual: a layer
norm, attention of heads of 32 channels between all positions, with a relative position bias for
each head, a projection, and the input added. As there, the bias is a table for maps of 7 x 7, of
13 x 13 numbers, which is stretched to other maps bilinearly; so it fits any map.

Where 32 does not divide C, there are as many heads as divide it, at most C // 32. All weights
start from a normal distribution of deviation 0.02, biases at 0. Parameters, with h heads:
4C^2 + 6C + 169h.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions
from nas.blocks.windows import heads_of
from nas.spec.architecture import Option

__all__ = ["MOAT"]

_SIDE = 7  # of the map that a table of positions is for
_DEVIATION = 0.02


class MoatAttention(nn.Module):
    """Attention between all positions, added to the input: x + project(attention(norm(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = heads_of(channels)
        self.each = channels // self.heads
        self.norm = LayerNorm2d(channels, eps=1e-5)
        self.positions = nn.Parameter(torch.empty(self.heads, 2 * _SIDE - 1, 2 * _SIDE - 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        for weight in (self.positions, self.qkv.weight, self.project.weight):
            nn.init.normal_(weight, std=_DEVIATION)
        for layer in (self.qkv, self.project):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = (int(size) for size in x.shape[1:])
        qkv = self.qkv(self.norm(x))
        q, k, v = (
            part.reshape(-1, self.heads, self.each, height * width) for part in qkv.chunk(3, dim=1)
        )
        likeness = q.transpose(2, 3) * self.each**-0.5 @ k + self._bias(height, width)
        attended = v @ likeness.softmax(dim=3).transpose(2, 3)
        projected: Tensor = self.project(attended.reshape(-1, channels, height, width))
        return x + projected

    def _bias(self, height: int, width: int) -> Tensor:
        """Return the bias of each query for each key: (heads, H W, H W)."""
        size = (2 * height - 1, 2 * width - 1)
        table = functional.interpolate(self.positions[None], size, mode="bilinear")[0]
        rows, columns = (_offsets(length).to(table.device) for length in (height, width))
        # (heads, query rows, key rows, query columns, key columns)
        pairs = table[:, rows][..., columns]
        return pairs.transpose(2, 3).reshape(-1, height * width, height * width)


def _offsets(length: int) -> Tensor:
    """Return how far each key lies from each query, from 0 on: (queries, keys)."""
    place = torch.arange(length)
    return place - place[:, None] + length - 1


def _make(channels: int, height: int, width: int) -> nn.Module:
    return MoatAttention(channels)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return too_many_positions(height, width)


MOAT = Block(
    name="moat",
    title="MOAT's attention",
    paper="https://arxiv.org/abs/2210.01820",
    make=_make,
    closed_by=("project.weight", "project.bias"),
    gates=0,
    limits=_limits,
)
