"""Efficient multi-scale attention. Ouyang et al., https://arxiv.org/abs/2305.13563

Own code, since no library has it. The channels are cut into `factor` groups that share all
weights. In each, one branch gates the map along both axes and normalises it, the other is a 3x3
convolution; each branch, pooled and put through a softmax, weighs the channels of the other, and
the two sums give one gate for every position of the group:
sigmoid(softmax(avg(y1)) y2 + softmax(avg(y2)) y1). The authors join the two pooled axes for one
1x1 convolution and split them again; here it runs on each alone, which is the same. On a map of
one position the norm leaves nothing, so it is refused. The number of groups is fixed, as in the
authors' code, so the channels must divide by it.
Parameters, with g = C / factor channels in a group: 10g^2 + 4g.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.limits import undivided
from nas.spec.architecture import Option

__all__ = ["EMA"]


class _MultiScaleAttention(nn.Module):
    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.group = channels // factor
        self.norm = nn.GroupNorm(self.group, self.group)
        self.conv1x1 = nn.Conv2d(self.group, self.group, 1)
        self.conv3x3 = nn.Conv2d(self.group, self.group, 3, padding=1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        groups = x.reshape(-1, self.group, x.shape[2], x.shape[3])  # (N * factor, g, H, W)
        rows = torch.sigmoid(self.conv1x1(groups.mean(dim=3, keepdim=True)))
        columns = torch.sigmoid(self.conv1x1(groups.mean(dim=2, keepdim=True)))
        wide = self.norm(groups * rows * columns)
        local = self.conv3x3(groups)
        gate: Tensor = self.gate(_weighed(local, by=wide) + _weighed(wide, by=local))
        return (groups * gate).reshape(x.shape)


def _weighed(branch: Tensor, by: Tensor) -> Tensor:
    """Sum a branch over its channels, weighed by the other's averages: (N, 1, H, W)."""
    channels, height, width = branch.shape[1:]
    weights = by.mean(dim=(2, 3)).softmax(dim=1).unsqueeze(1)
    positions = branch.reshape(-1, channels, height * width)
    return torch.matmul(weights, positions).reshape(-1, 1, height, width)


def _make(channels: int, height: int, width: int, *, factor: int) -> nn.Module:
    return _MultiScaleAttention(channels, factor)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    factor = int(options["factor"])
    alone = "a map of one position has nothing to normalise over" if height * width == 1 else None
    return undivided(channels, factor, "groups") or alone


EMA = Block(
    name="ema",
    title="Efficient multi-scale attention",
    paper="https://arxiv.org/abs/2305.13563",
    make=_make,
    closed_by=("conv3x3.weight", "conv3x3.bias", "norm.weight", "norm.bias"),
    options={"factor": (32, 8, 16)},
    limits=_limits,
)
