"""Attention blocks: one file each, one line each in `BLOCKS`."""

from __future__ import annotations

from torch import nn

from nas.architecture import Option
from nas.blocks.block import Block, Shape
from nas.blocks.cbam import CBAM
from nas.blocks.coord import COORD
from nas.blocks.eca import ECA
from nas.blocks.se import SE
from nas.errors import SpecError

__all__ = ["BLOCKS", "Block", "block_named", "make_block"]

BLOCKS: dict[str, Block] = {block.name: block for block in (SE, CBAM, COORD, ECA)}


def block_named(name: str) -> Block:
    """Look a block up. Raises SpecError listing the known ones."""
    if name not in BLOCKS:
        raise SpecError(f"unknown block {name!r}; known: {', '.join(sorted(BLOCKS))}")
    return BLOCKS[name]


def make_block(
    name: str,
    *,
    channels: int,
    height: int,
    width: int,
    start: str = "paper",
    **options: Option,
) -> nn.Module:
    """Build a block for maps of (N, channels, height, width); the same shape comes out.

    start: `paper` initialises as its authors do; `identity` makes its output equal its
    input at first, for inserting it into a trained network.
    options: those not given are the paper's. Raises SpecError.
    """
    block = block_named(name)
    if start not in {"paper", "identity"}:
        raise SpecError(f"start {start!r}; allowed: paper, identity")
    if min(channels, height, width) < 1:
        raise SpecError(f"a map of {channels}x{height}x{width}; every side must be at least 1")
    reason = block.applies(Shape(channels, height, width), options)
    if reason:
        raise SpecError(f"block {name!r}: {reason}")
    return block.assemble(channels, height, width, start, options)
