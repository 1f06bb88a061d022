"""Triplet attention. Misra et al., https://arxiv.org/abs/2010.03045

Own code, since no library has it. Three branches pool the map along channels, height and width
(Z-pool: maximum and average), convolve what is left and gate the map; the average of the three
gated maps comes out: x (g_h + g_w + g_c) / 3. The authors turn the map so that each branch
pools its first dimension; here each pools its own dimension and the gates are averaged before
they meet the map: the same function without copies of it. For that the kernel of the branch
that pools the width is the transpose of theirs. Parameters: 3(2k^2 + 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.blocks.block import Block

__all__ = ["TRIPLET"]


class _Branch(nn.Module):
    """The gate of one branch, of size 1 along the dimension that it pools."""

    def __init__(self, pooled: int, kernel_size: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        z_pool = torch.stack([x.amax(dim=self.pooled), x.mean(dim=self.pooled)], dim=1)
        gate: Tensor = self.gate(self.norm(self.conv(z_pool)))
        return gate.squeeze(1).unsqueeze(self.pooled)


class _TripletAttention(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.height = _Branch(2, kernel_size)
        self.width = _Branch(3, kernel_size)
        self.channel = _Branch(1, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = (self.height(x) + self.width(x) + self.channel(x)) / 3.0
        return x * gate


def _make(channels: int, height: int, width: int, *, kernel_size: int) -> nn.Module:
    return _TripletAttention(kernel_size)


TRIPLET = Block(
    name="triplet",
    title="Triplet attention",
    paper="https://arxiv.org/abs/2010.03045",
    make=_make,
    # The norms' scales, not the convolutions: see CBAM.
    closed_by=tuple(
        f"{branch}.norm.{name}"
        for branch in ("height", "width", "channel")
        for name in ("weight", "bias")
    ),
    options={"kernel_size": (7, 3)},
)
