"""Convolutional block attention module. Woo et al., https://arxiv.org/abs/1807.06521

timm's `CbamModule` with biases in the shared MLP, as the authors have it. It feeds the
spatial convolution (mean, max) where the authors feed (max, mean): the same function with
the convolution's two input channels swapped. Parameters: 2Cm + m + C + 2k^2 + 2.
"""

from __future__ import annotations

from collections.abc import Mapping

from timm.layers.cbam import CbamModule
from torch import nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["CBAM"]


def _width(channels: int, options: Mapping[str, Option]) -> int:
    # Plain C // r, without a floor of 8: so it was run in arXiv:2103.02907.
    return max(1, channels // int(options["reduction"]))


def _make(channels: int, height: int, width: int, *, reduction: int, kernel_size: int) -> nn.Module:
    return CbamModule(
        channels,
        rd_channels=_width(channels, {"reduction": reduction}),
        spatial_kernel_size=kernel_size,
        mlp_bias=True,
    )


CBAM = Block(
    name="cbam",
    title="Convolutional block attention module",
    paper="https://arxiv.org/abs/1807.06521",
    make=_make,
    closed_by=(
        "channel.fc2.weight",
        "channel.fc2.bias",
        # The norm's scale, not the convolution: batch norm over constant zeros would multiply
        # the first gradients by 1/sqrt(eps), about 300.
        "spatial.conv.bn.weight",
        "spatial.conv.bn.bias",
    ),
    gates=2,
    reads_gated=("spatial.conv.conv.weight",),
    options={"reduction": (24, 8, 16, 32), "kernel_size": (7, 3)},
    width=_width,
)
