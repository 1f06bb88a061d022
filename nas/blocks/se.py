"""Squeeze-and-excitation. Hu et al., https://arxiv.org/abs/1709.01507

timm's `SEModule`, with the hidden width of arXiv:2103.02907. Parameters: 2Cm + m + C.
"""

from __future__ import annotations

from timm.layers.squeeze_excite import SEModule
from torch import nn

from nas.blocks.block import Block, paper_width

__all__ = ["SE"]


def _make(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return SEModule(channels, rd_channels=paper_width(channels, reduction))


SE = Block(
    name="se",
    title="Squeeze-and-excitation",
    paper="https://arxiv.org/abs/1709.01507",
    make=_make,
    closed_by=("fc2.weight", "fc2.bias"),
    options={"reduction": (24, 8, 16, 32)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)
