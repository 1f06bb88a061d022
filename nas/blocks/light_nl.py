"""Lightweight non-local block, LightNL. Li et al. (AutoNL), https://arxiv.org/abs/2004.01961

No library has it. A non-local block without projections and without softmax: queries and keys are
the first C / r channels of the map itself (r of 4, 2 or 1), keys and values are read at every
`stride`-th row and column, and of the two orders of the two products the cheaper one is taken.
The sum is divided by H W, then comes a depthwise 3 x 3 convolution and a batch norm
whose scale starts at zero, and the input is added. Behind the projection of an inverted residual,
before its shortcut, is the authors' place. Epsilon of the norm is 1e-3, as in their TensorFlow
code. Parameters: 11C.

Their port to PyTorch divides by H and multiplies by W; that is mended where they are compared.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["LIGHT_NL"]


class LightNonLocal(nn.Module):
    """Dot products of the map with itself, added to it: x + norm(depthwise(products))."""

    def __init__(self, channels: int, hidden: int, stride: int) -> None:
        super().__init__()
        self.hidden, self.stride = hidden, stride
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=1e-3)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = (int(size) for size in x.shape[1:])
        read = x[:, :, :: self.stride, :: self.stride].flatten(2)
        query, key, value = x[:, : self.hidden].flatten(2), read[:, : self.hidden], read
        positions, read_positions = height * width, int(read.shape[2])
        by_positions = positions * read_positions * (channels + self.hidden)
        by_channels = (positions + read_positions) * channels * self.hidden
        # Small numbers first: a sum over large maps may overflow half precision.
        value = value / positions
        if by_positions < by_channels:
            products = value @ (key.transpose(1, 2) @ query)
        else:
            products = (value @ key.transpose(1, 2)) @ query
        added: Tensor = self.norm(self.depthwise(products.reshape(-1, channels, height, width)))
        return x + added


def _width(channels: int, options: Mapping[str, Option]) -> int:
    return max(1, channels // int(options["reduction"]))


def _make(channels: int, height: int, width: int, *, reduction: int, stride: int) -> nn.Module:
    return LightNonLocal(channels, _width(channels, {"reduction": reduction}), stride)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    stride = int(options["stride"])
    if min(height, width) < stride:
        return f"its map of {height}x{width} is too small for a stride of {stride}"
    return None


LIGHT_NL = Block(
    name="light_nl",
    title="Lightweight non-local block",
    paper="https://arxiv.org/abs/2004.01961",
    make=_make,
    closed_by=("norm.weight", "norm.bias"),
    gates=0,
    options={"reduction": (4, 2, 1), "stride": (1, 2)},
    width=_width,
    limits=_limits,
)
