"""Global-and-local attention. Linsley et al., https://arxiv.org/abs/1805.08819

No library keeps it. The authors' code (serre-lab/gala_tpu) is TensorFlow; this follows the
paper's formula. A global branch, squeeze-and-excitation without its sigmoid, gives one number
g per channel; a local branch of two pointwise convolutions gives one number s per position.
With weights a and b, one each per channel,

    y = x * tanh(a (g + s) + b g s).

r is 4 in the authors' code, which departs from the paper in three choices: a 5 x 5 convolution
more in the local branch, a ReLU behind g, a sigmoid for tanh by default. a and b start from a
truncated normal distribution of deviation 1, as there. Parameters, with m = max(1, C // r)
hidden channels in each branch: 3Cm + 3m + 3C + 1.

tanh is 0 where a closed gate should be 1/2, so an identity start gates with a doubled sigmoid:
2 sigmoid(z) is 1 + tanh(z / 2), the paper's gate added to a shortcut; a and b absorb the half.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.gate import DoubledGate
from nas.spec.architecture import Option

__all__ = ["GALA"]


class GlobalAndLocalAttention(nn.Module):
    """Channels times positions, both added and multiplied, behind one gate."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.what = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )
        self.where = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1)
        )
        self.added = nn.Parameter(torch.empty(channels, 1, 1))
        self.multiplied = nn.Parameter(torch.empty(channels, 1, 1))
        self.gate: nn.Module = nn.Tanh()
        for weight in (self.added, self.multiplied):
            trunc_normal_(weight)

    def forward(self, x: Tensor) -> Tensor:
        channel: Tensor = self.what(x.mean((2, 3), keepdim=True))
        position: Tensor = self.where(x)
        together = self.added * (channel + position) + self.multiplied * (channel * position)
        gate: Tensor = self.gate(together)
        return x * gate


def _width(channels: int, options: Mapping[str, Option]) -> int:
    return max(1, channels // int(options["reduction"]))


def _make(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return GlobalAndLocalAttention(channels, _width(channels, {"reduction": reduction}))


def _open(module: nn.Module) -> None:
    assert isinstance(module, GlobalAndLocalAttention)
    module.gate = DoubledGate(nn.Sigmoid())


GALA = Block(
    name="gala",
    title="Global-and-local attention",
    paper="https://arxiv.org/abs/1805.08819",
    make=_make,
    closed_by=("added", "multiplied"),
    open=_open,
    options={"reduction": (4, 8, 16)},
    width=_width,
)
