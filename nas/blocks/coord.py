"""Coordinate attention. Hou, Zhou, Feng, https://arxiv.org/abs/2103.02907

timm's `CoordAttn` with the authors' hidden width max(8, C // r) and biases (timm's default
has neither). Parameters: 3Cm + 3m + 2C.
"""

from __future__ import annotations

from timm.layers.coord_attn import CoordAttn
from torch import nn

from nas.blocks.block import Block, paper_width

__all__ = ["COORD"]


def _make(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return CoordAttn(channels, rd_channels=paper_width(channels, reduction), bias=True)


COORD = Block(
    name="coord",
    title="Coordinate attention",
    paper="https://arxiv.org/abs/2103.02907",
    make=_make,
    closed_by=("conv_h.weight", "conv_h.bias", "conv_w.weight", "conv_w.bias"),
    gates=2,
    options={"reduction": (32, 8, 16)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)
