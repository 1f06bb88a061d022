"""Frequency channel attention, FcaNet. Qin et al., https://arxiv.org/abs/2012.11325

Own code, since no library has it. Squeeze-and-excitation whose squeeze is, for each group of
channels, another coefficient of the two-dimensional cosine transform in place of the average,
which is the lowest one:
sum over i, j of x[i, j] cos(pi u (i + 1/2) / H) cos(pi v (j + 1/2) / W), orthonormal.
The frequencies (u, v) are the authors' best, measured one by one on a grid of 7x7, and grow
with the map as in their code: times H // 7 and W // 7. A map smaller than 7 is first
stretched to 7 by adaptive pooling, as their code does where map and transform differ in size.
Transform and pooling are linear and separable, so here they are two small fixed matrices for
the map that the block is made for (theirs is C H W numbers); they are not among its weights,
which fit any map. Hidden width m = max(1, C // r); the paper has no floor. Parameters: 2Cm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.blocks.block import Block
from nas.blocks.limits import undivided
from nas.spec.architecture import Option

__all__ = ["FCA"]

_GRID = 7

# fmt: off
_BEST = (
    (0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0),
    (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2),
    (4, 6), (6, 3), (3, 3), (5, 3), (5, 5), (2, 1), (6, 1), (5, 2),
    (5, 4), (3, 2), (3, 1), (4, 1), (2, 3), (2, 0), (6, 5), (1, 3),
)
# fmt: on
"""(vertical, horizontal) frequencies, from the best: the authors' `top32`."""


def _cosines(frequencies: tuple[int, ...], size: int) -> Tensor:
    """Rows of the orthonormal cosine transform of `size` positions: (frequencies, size)."""
    grid = max(size, _GRID)
    u = torch.tensor(frequencies, dtype=torch.float64)[:, None] * (grid // _GRID)
    angles = math.pi * u * (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    rows = angles.cos() * torch.where(u == 0, 1.0, 2.0).div(grid).sqrt()
    stretch = functional.adaptive_avg_pool1d(torch.eye(size, dtype=torch.float64), grid)
    return (rows @ stretch.T).float()


class _FrequencyAttention(nn.Module):
    rows: Tensor
    columns: Tensor

    def __init__(
        self, channels: int, height: int, width: int, hidden: int, frequencies: int
    ) -> None:
        super().__init__()
        vertical, horizontal = zip(*_BEST[:frequencies], strict=True)
        self.register_buffer("rows", _cosines(vertical, height)[..., None], persistent=False)
        self.register_buffer("columns", _cosines(horizontal, width)[..., None], persistent=False)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.act = nn.ReLU()
        self.fc2 = nn.Linear(hidden, channels, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.fc2(self.act(self.fc1(self._squeeze(x)))))
        return x * gate[:, :, None, None]

    def _squeeze(self, x: Tensor) -> Tensor:
        """Return every channel's coefficient at its group's frequency: (N, C)."""
        groups, (height, width) = self.rows.shape[0], x.shape[2:]
        group = self.fc1.in_features // groups
        # The map's own sides, and the batch named and not -1, so that a map of another size is an
        # error: by the cosines' sides, one of 12x16 would pass for one of 16x12.
        lines = x.reshape(x.shape[0], groups, group * height, width)
        points = torch.matmul(lines, self.columns).reshape(-1, groups, group, height)
        return torch.matmul(points, self.rows).reshape(-1, groups * group)


def _width(channels: int, options: Mapping[str, Option]) -> int:
    return max(1, channels // int(options["reduction"]))


def _make(channels: int, height: int, width: int, *, reduction: int, frequencies: int) -> nn.Module:
    hidden = _width(channels, {"reduction": reduction})
    return _FrequencyAttention(channels, height, width, hidden, frequencies)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    frequencies = int(options["frequencies"])
    if frequencies > len(_BEST):
        return f"{frequencies} frequencies; only the best {len(_BEST)} are known"
    return undivided(channels, frequencies, "groups")


FCA = Block(
    name="fca",
    title="Frequency channel attention",
    paper="https://arxiv.org/abs/2012.11325",
    make=_make,
    closed_by=("fc2.weight",),
    options={"reduction": (16, 8), "frequencies": (16, 8, 4)},
    width=_width,
    limits=_limits,
)
