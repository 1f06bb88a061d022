"""Efficient channel attention. Wang et al., https://arxiv.org/abs/1910.03151

timm's `EcaModule`; the kernel follows from the channels (equation 12), so there is no
reduction ratio. Parameters: k.
"""

from __future__ import annotations

from collections.abc import Mapping

from timm.layers.eca import EcaModule
from torch import Tensor, nn

from nas.blocks.block import Block

__all__ = ["ECA"]


def _make(channels: int, height: int, width: int) -> nn.Module:
    return EcaModule(channels)


def _read(module: nn.Module, block: nn.Module) -> Mapping[str, Tensor] | None:
    """Read the weights of one of timm's, with the same kernel."""
    theirs, own = module.state_dict(), block.state_dict()
    if not isinstance(module, EcaModule) or theirs.keys() != own.keys():
        return None
    same = all(theirs[name].shape == own[name].shape for name in own)
    return theirs if same else None


ECA = Block(
    name="eca",
    title="Efficient channel attention",
    paper="https://arxiv.org/abs/1910.03151",
    make=_make,
    closed_by=("conv.weight",),
    read=_read,
)
