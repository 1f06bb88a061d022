"""Attention blocks: one file each, one line each in `BLOCKS`."""

from __future__ import annotations

from torch import nn

from nas.base.errors import SpecError
from nas.blocks.aa import AA
from nas.blocks.axial import AXIAL
from nas.blocks.bam import BAM
from nas.blocks.block import Block, Shape
from nas.blocks.bra import BRA
from nas.blocks.caa import CAA
from nas.blocks.cbam import CBAM
from nas.blocks.contmix import CONTMIX
from nas.blocks.coord import COORD
from nas.blocks.coord_axis import COORD_X, COORD_Y
from nas.blocks.criss_cross import CC
from nas.blocks.davit import DAVIT_CHANNEL, DAVIT_WINDOW
from nas.blocks.double_attention import A2
from nas.blocks.eca import ECA
from nas.blocks.ela import ELA
from nas.blocks.ema import EMA
from nas.blocks.ese import ESE
from nas.blocks.fca import FCA
from nas.blocks.ffa import FFA
from nas.blocks.gala import GALA
from nas.blocks.gather_excite import GE
from nas.blocks.global_context import GC, GC_SCALE
from nas.blocks.gsop import GSOP
from nas.blocks.halo import HALO
from nas.blocks.i2rmb import I2RMB
from nas.blocks.lambda_layer import LAMBDA
from nas.blocks.light_nl import LIGHT_NL
from nas.blocks.lka import LKA
from nas.blocks.mlca import MLCA
from nas.blocks.moat import MOAT
from nas.blocks.msca import MSCA
from nas.blocks.non_local import NL
from nas.blocks.scsa import PCSA, SCSA, SMSA
from nas.blocks.se import SE, SE_HARD
from nas.blocks.sge import SGE
from nas.blocks.shsa import SHSA
from nas.blocks.simam import SIMAM
from nas.blocks.spartan import SPARTAN_SPACE, SPARTAN_WAVE
from nas.blocks.srm import SRM
from nas.blocks.strip import SPM, STRIP
from nas.blocks.svga import SVGA
from nas.blocks.triplet import TRIPLET
from nas.spec.architecture import Option

__all__ = ["BLOCKS", "Block", "block_named", "make_block"]

BLOCKS: dict[str, Block] = {
    block.name: block
    for block in (
        SE,
        CBAM,
        COORD,
        ECA,
        COORD_X,
        COORD_Y,
        TRIPLET,
        SIMAM,
        SRM,
        FCA,
        BAM,
        EMA,
        FFA,
        GALA,
        LKA,
        GC,
        GC_SCALE,
        NL,
        A2,
        CC,
        SPM,
        STRIP,
        ELA,
        HALO,
        AA,
        AXIAL,
        BRA,
        GE,
        GSOP,
        SCSA,
        SMSA,
        PCSA,
        LAMBDA,
        SE_HARD,
        ESE,
        MLCA,
        SGE,
        CAA,
        MSCA,
        SVGA,
        SHSA,
        LIGHT_NL,
        DAVIT_WINDOW,
        DAVIT_CHANNEL,
        MOAT,
        I2RMB,
        CONTMIX,
        SPARTAN_SPACE,
        SPARTAN_WAVE,
    )
}


def block_named(name: str) -> Block:
    """Look a block up. Raises SpecError, which lists the known ones, when there is none."""
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

    start: `paper` initialises as its authors do; `identity` makes its output equal its input at
        first, for inserting it into a trained network.
    options: those not given are the paper's.
    Raises SpecError for an unknown name or option, or a block that does not fit the map.
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
