"""SimAM, attention without parameters. Yang et al., https://proceedings.mlr.press/v139/yang21o.html

Own code, since no library has it. Each element is gated by sigmoid(1 / e), where e is the least
energy of a linear neuron that tells it from the rest of its channel:
1 / e = (x - mean)^2 / (4 (variance + lambda)) + 1/2 (equation 5), lambda = 1e-4 as in the
authors' code and variance over H W - 1. On a map of one position there is no rest, so it is
refused. Parameters: 0.

Nothing can be set to zero for an identity start, so 1 / e is then multiplied by one learnable
number that starts at zero (one parameter). It disappears into the constants at export.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["SIMAM"]

_LAMBDA = 1e-4


class _SimAM(nn.Module):
    slope: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(()), persistent=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        squares = centred * centred
        others = x.shape[2] * x.shape[3] - 1
        variance = squares.sum(dim=(2, 3), keepdim=True) / others
        # The slope stands on the small tensor and on the constant: nothing more on the map.
        inverse_energy = squares * (self.slope / 4.0 / (variance + _LAMBDA)) + self.slope / 2.0
        gate: Tensor = self.gate(inverse_energy)
        return x * gate


def _open(module: nn.Module) -> None:
    module.slope = nn.Parameter(torch.zeros(()))


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return "a map of one position has no variance" if height * width == 1 else None


SIMAM = Block(
    name="simam",
    title="SimAM",
    paper="https://proceedings.mlr.press/v139/yang21o.html",
    make=lambda channels, height, width: _SimAM(),
    open=_open,
    limits=_limits,
)
