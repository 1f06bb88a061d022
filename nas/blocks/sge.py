"""Spatial group-wise enhance. Li, Hu, Yang, https://arxiv.org/abs/1905.09646

Own code, as the authors'. In each group of channels, every position's vector is compared with
the group's average vector by their product; these numbers are normalised over the map, scaled
and shifted by two weights for each group, and gate the group's positions through a sigmoid.
There are 64 groups in the authors' networks, whose channels all divide by 64. Of other channels
as many groups as divide them, 64 at most, are taken. On a map of one position nothing is left
of a normalised number, so it is refused. Parameters: 2 for each group.

Scale and shift start at 0 and 1 there; an identity start closes both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["SGE"]

_EPSILON = 1e-5


class SpatialGroupEnhance(nn.Module):
    """A gate for each position of each group, by its likeness to the group's average."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(1, groups, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1))
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        groups = x.reshape(-1, self.groups, channels // self.groups, height * width)
        likeness = (groups * groups.mean(dim=3, keepdim=True)).sum(dim=2)  # (N, groups, H W)
        centred = likeness - likeness.mean(dim=2, keepdim=True)
        variance = centred.square().sum(dim=2, keepdim=True) / (height * width - 1)
        # The root has no finite slope at 0, where dead groups are.
        normalised = centred / (variance.clamp(min=1e-12).sqrt() + _EPSILON)
        gate: Tensor = self.gate(normalised * self.weight + self.bias)
        return (groups * gate.unsqueeze(2)).reshape(x.shape)


def _groups(channels: int, options: Mapping[str, Option]) -> int:
    most = min(channels, int(options["groups"]))
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


def _make(channels: int, height: int, width: int, *, groups: int) -> nn.Module:
    return SpatialGroupEnhance(_groups(channels, {"groups": groups}))


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return "a map of one position has no variance" if height * width == 1 else None


SGE = Block(
    name="sge",
    title="Spatial group-wise enhance",
    paper="https://arxiv.org/abs/1905.09646",
    make=_make,
    closed_by=("weight", "bias"),
    options={"groups": (64, 32, 16, 8)},
    limits=_limits,
)
