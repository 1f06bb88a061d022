"""Sparse vision graph attention. Munir, Avery, Marculescu (MobileViG), https://arxiv.org/abs/2307.00395

No library has it. The graph mixer of the authors' network: a pointwise convolution to C channels,
a max-relative graph convolution to 2C, a pointwise one back to C, each with a batch norm, and the
input added. Each position is joined to those of its column and of its row that lie a whole
number of strides away, and takes from each channel the largest difference to one of
them, or 0. The stride is 2 in the authors' networks.

As in their code, lines are rolled around, so that on a side that the stride does not divide the
neighbours change their parity past the border. The largest difference is the one to the least
neighbour, so only the least is looked for: the same numbers. Parameters: 7C^2 + 12C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.conv_bn_act import ConvNormAct
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["SVGA"]


def _least(x: Tensor, axis: int, stride: int) -> Tensor:
    """Return the least value a whole number of strides away along an axis, its own included."""
    length = int(x.shape[axis])
    if length % stride == 0:
        # The same neighbours for all positions of one remainder: no roll is needed.
        turns = length // stride
        one = torch.unflatten(x, axis, (turns, stride)).amin(dim=axis)
        return torch.cat([one] * turns, dim=axis)
    least = x
    for distance in range(stride, length, stride):
        least = torch.minimum(least, torch.roll(x, distance, dims=axis))
    return least


class SparseGraphAttention(nn.Module):
    """The graph mixer, added to its input: x + reduce(graph(embed(x)))."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.embed = ConvNormAct(channels, channels, 1, bias=True, apply_act=False)
        self.mix = ConvNormAct(2 * channels, 2 * channels, 1, bias=True, act_layer=nn.GELU)
        self.reduce = ConvNormAct(2 * channels, channels, 1, bias=True, apply_act=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.embed(x)
        least = torch.minimum(_least(y, 2, self.stride), _least(y, 3, self.stride))
        reduced: Tensor = self.reduce(self.mix(torch.cat([y, y - least], dim=1)))
        return x + reduced


def _make(channels: int, height: int, width: int, *, stride: int) -> nn.Module:
    return SparseGraphAttention(channels, stride)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    stride = int(options["stride"])
    if max(height, width) <= stride:
        return f"nothing on its map of {height}x{width} is {stride} positions away"
    return None


SVGA = Block(
    name="svga",
    title="Sparse vision graph attention",
    paper="https://arxiv.org/abs/2307.00395",
    make=_make,
    closed_by=("reduce.bn.weight", "reduce.bn.bias"),
    gates=0,
    options={"stride": (2, 3, 4)},
    limits=_limits,
)
