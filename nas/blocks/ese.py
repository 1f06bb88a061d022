"""Effective squeeze-and-excitation, eSE. Lee and Park (CenterMask), https://arxiv.org/abs/1911.06667

timm's `EffectiveSEModule`: squeeze-and-excitation with one pointwise layer in place of two, since
the reduction between them loses information about channels, behind a hard sigmoid.
Parameters: C^2 + C.
"""

from __future__ import annotations

from timm.layers.squeeze_excite import EffectiveSEModule
from torch import nn

from nas.blocks.block import Block

__all__ = ["ESE"]


def _make(channels: int, height: int, width: int) -> nn.Module:
    return EffectiveSEModule(channels)


ESE = Block(
    name="ese",
    title="Effective squeeze-and-excitation",
    paper="https://arxiv.org/abs/1911.06667",
    make=_make,
    closed_by=("fc.weight", "fc.bias"),
)
