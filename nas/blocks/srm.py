"""Style-based recalibration. Lee, Kim, Nam, https://arxiv.org/abs/1903.10829

Own code, since no library has it. Each channel has a gate of its own,
sigmoid(BN(w1 mean + w2 deviation)): style pooling and style integration, of this channel alone.
The weights w start at zero as in the authors' code. The variance (over H W - 1, as theirs) is
kept above 1e-12, since the root's slope is infinite on a channel that is constant, as behind a
dead ReLU. On a map of one position the deviation does not exist, so it is refused.
Parameters: 4C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["SRM"]


class _StyleRecalibration(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.style = nn.Parameter(torch.zeros(2, channels, 1, 1))
        self.norm = nn.BatchNorm2d(channels)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        centred = x - mean
        others = x.shape[2] * x.shape[3] - 1
        variance = (centred * centred).sum(dim=(2, 3), keepdim=True) / others
        deviation = variance.clamp(min=1e-12).sqrt()
        gate: Tensor = self.gate(self.norm(self.style[0] * mean + self.style[1] * deviation))
        return x * gate


def _open(module: nn.Module) -> None:
    # Zero weights behind a zero scale would stay zero for ever. With the scale open instead,
    # batch norm over constant zeros would multiply the first gradients by about 300.
    nn.init.ones_(module.get_parameter("style"))


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return "a map of one position has no deviation" if height * width == 1 else None


SRM = Block(
    name="srm",
    title="Style-based recalibration",
    paper="https://arxiv.org/abs/1903.10829",
    make=lambda channels, height, width: _StyleRecalibration(channels),
    closed_by=("norm.weight", "norm.bias"),
    open=_open,
    limits=_limits,
)
