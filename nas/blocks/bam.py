"""Bottleneck attention module. Park et al., https://arxiv.org/abs/1807.06514

Own code, since no library has it. x (1 + sigmoid(channel + spatial)), equations 1 and 2: a
channel branch (averages and an MLP, equation 3) and a spatial branch (1x1, two dilated 3x3 and
1x1 convolutions, equation 4). Batch norm stands where the authors' code has it, behind every
hidden layer; the equations have one behind each branch. The authors' code multiplies the two
branches; here they are added, as in equation 2. Hidden width m = max(1, C // r); the paper has
no floor.
Parameters: 3Cm + C + 18m^2 + 13m + 1.

At an identity start the sum is zero and the constant 1 becomes 1/2, so that the block can take
away as much as it adds; 1/2 + sigmoid(0) = 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["BAM"]


def _width(channels: int, options: Mapping[str, Option]) -> int:
    return max(1, channels // int(options["reduction"]))


def _hidden(inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size, padding=padding, dilation=dilation),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.offset = 1.0
        self.channel = nn.Sequential(_hidden(channels, hidden), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(
            _hidden(channels, hidden),
            _hidden(hidden, hidden, 3, dilation),
            _hidden(hidden, hidden, 3, dilation),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3), keepdim=True)
        # Not in an attribute `gate`: a doubled gate would not make this an identity.
        gate = torch.sigmoid(self.channel(pooled) + self.spatial(x))
        return x * (self.offset + gate)


def _make(channels: int, height: int, width: int, *, reduction: int, dilation: int) -> nn.Module:
    return _Bottleneck(channels, _width(channels, {"reduction": reduction}), dilation)


def _open(module: nn.Module) -> None:
    assert isinstance(module, _Bottleneck)
    module.offset = 0.5


BAM = Block(
    name="bam",
    title="Bottleneck attention module",
    paper="https://arxiv.org/abs/1807.06514",
    make=_make,
    closed_by=("channel.1.weight", "channel.1.bias", "spatial.3.weight", "spatial.3.bias"),
    gates=0,
    open=_open,
    options={"reduction": (16, 8, 32), "dilation": (4, 2)},
    width=_width,
)
