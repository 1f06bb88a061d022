"""Global context. Cao, Xu, Lin, Wei, Hu, https://arxiv.org/abs/1904.11492

timm's `GlobalContext`, the paper's GC block: one attention map, a softmax over all positions,
pools them into a vector; a bottleneck with layer norm transforms it. `gc` adds the result to
every position, the authors' choice; `gc_scale` multiplies by its sigmoid, their other fusion.
They are two blocks because only one of them has a gate. As in the authors' code, the norm's
epsilon is 1e-5 (timm: 1e-6) and the last layer starts at zero. A floor of 8 under the hidden
width C // r is ours: over a single channel, layer norm gives zero.
Parameters: 2Cm + 3m + 2C + 1.
"""

from __future__ import annotations

from timm.layers.global_context import GlobalContext
from torch import nn

from nas.blocks.block import Block, paper_width

__all__ = ["GC", "GC_SCALE"]


def _build(channels: int, reduction: int, *, scale: bool) -> nn.Module:
    block = GlobalContext(
        channels,
        rd_channels=paper_width(channels, reduction),
        fuse_add=not scale,
        fuse_scale=scale,
    )
    bottleneck = block.mlp_scale if scale else block.mlp_add
    norm = bottleneck.norm
    assert isinstance(norm, nn.LayerNorm)
    norm.eps = 1e-5
    for parameter in bottleneck.fc2.parameters():
        nn.init.zeros_(parameter)
    return block


def _make(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return _build(channels, reduction, scale=False)


def _make_scale(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return _build(channels, reduction, scale=True)


GC = Block(
    name="gc",
    title="Global context, added",
    paper="https://arxiv.org/abs/1904.11492",
    make=_make,
    closed_by=("mlp_add.fc2.weight", "mlp_add.fc2.bias"),
    gates=0,
    options={"reduction": (16, 4, 8)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)

GC_SCALE = Block(
    name="gc_scale",
    title="Global context, multiplied",
    paper="https://arxiv.org/abs/1904.11492",
    make=_make_scale,
    closed_by=("mlp_scale.fc2.weight", "mlp_scale.fc2.bias"),
    options={"reduction": (16, 4, 8)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)
