"""Strip attention, after strip pooling. Hou, Zhang, Cheng, Feng, https://arxiv.org/abs/2003.13328

`strip` is timm's `StripAttn`, which cites no paper: means along rows and columns, one depthwise
convolution each, their sum, a sigmoid. It is the cheap skeleton of the paper's strip pooling
module, equations 2 to 5, without its mixing of channels and its batch norm. Parameters: 2Ck.

`spm` is that module in full (own code): convolutions of length 3 over all channels with batch
norm, their sum, ReLU, a 1x1 convolution, a sigmoid. The equations have no ReLU; the authors'
code does. Parameters: 7C^2 + 5C, many on wide maps.
"""

from __future__ import annotations

from timm.layers.coord_attn import StripAttn
from torch import Tensor, nn

from nas.blocks.block import Block

__all__ = ["SPM", "STRIP"]


class StripPooling(nn.Module):
    """Strip pooling: a gate of the means along rows and along columns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_h = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), bias=False)
        self.norm_h = nn.BatchNorm2d(channels)
        self.conv_w = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
        self.norm_w = nn.BatchNorm2d(channels)
        self.act = nn.ReLU()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm_h(self.conv_h(x.mean(dim=3, keepdim=True)))
        columns = self.norm_w(self.conv_w(x.mean(dim=2, keepdim=True)))
        gate: Tensor = self.gate(self.conv(self.act(rows + columns)))
        return x * gate


def _make(channels: int, height: int, width: int, *, kernel_size: int) -> nn.Module:
    return StripAttn(channels, kernel_size=kernel_size)


def _make_full(channels: int, height: int, width: int) -> nn.Module:
    return StripPooling(channels)


STRIP = Block(
    name="strip",
    title="Strip attention",
    paper="https://arxiv.org/abs/2003.13328",
    make=_make,
    closed_by=("conv_h.weight", "conv_w.weight"),
    options={"kernel_size": (3, 5, 7)},
)

SPM = Block(
    name="spm",
    title="Strip pooling module",
    paper="https://arxiv.org/abs/2003.13328",
    make=_make_full,
    closed_by=("conv.weight", "conv.bias"),
)
