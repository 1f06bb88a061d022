"""Efficient channel attention. Wang et al., https://arxiv.org/abs/1910.03151

timm's `EcaModule`; the kernel follows from the channels (equation 12), so there is no
reduction ratio. Parameters: k.
"""

from __future__ import annotations

from timm.layers.eca import EcaModule
from torch import nn

from nas.blocks.block import Block

__all__ = ["ECA"]


def _make(channels: int, height: int, width: int) -> nn.Module:
    return EcaModule(channels)


ECA = Block(
    name="eca",
    title="Efficient channel attention",
    paper="https://arxiv.org/abs/1910.03151",
    make=_make,
    closed_by=("conv.weight",),
)
