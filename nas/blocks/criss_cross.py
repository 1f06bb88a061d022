"""Criss-cross attention. Huang et al., https://arxiv.org/abs/1811.11721

Own code, equations 1 and 2. Each position attends to the H + W - 1 positions of its column and
its row; a second pass with the same weights (`recurrence` 2, the paper's) then reaches the
whole map. The sum is scaled by gamma, which starts at zero as in the authors' code, and added
to the input. Queries and keys have C // 8 channels; a floor of 8 is ours. The authors' network
puts convolutions around it, which are not part of the attention.
Parameters: 2Cm + 2m + C^2 + C + 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.blocks.block import Block, paper_width

__all__ = ["CC"]

_HIDDEN = -1e4
"""exp(-1e4) is 0 even in half precision, where -inf times 0 would be NaN."""


class CrissCross(nn.Module):
    """Criss-cross attention, added to its input as often as `recurrence` says."""

    def __init__(self, channels: int, hidden: int, recurrence: int) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.query = nn.Conv2d(channels, hidden, 1)
        self.key = nn.Conv2d(channels, hidden, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def attend(self, x: Tensor) -> Tensor:
        """Attend once to the column and the row of each position."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        row = torch.arange(x.shape[2], device=x.device)
        # The position itself is in its row already: it must not count twice.
        itself = (row[:, None] == row).to(x.dtype) * _HIDDEN
        columns = query.permute(0, 3, 2, 1) @ key.permute(0, 3, 1, 2) + itself  # (N, W, H, H)
        rows = query.permute(0, 2, 3, 1) @ key.permute(0, 2, 1, 3)  # (N, H, W, W)
        attention = torch.cat([columns.transpose(1, 2), rows], dim=3).softmax(dim=3)
        columns, rows = attention[..., : x.shape[2]], attention[..., x.shape[2] :]
        from_column = columns.transpose(1, 2) @ value.permute(0, 3, 2, 1)  # (N, W, H, C)
        from_row = rows @ value.permute(0, 2, 3, 1)  # (N, H, W, C)
        attended: Tensor = from_column.permute(0, 3, 2, 1) + from_row.permute(0, 3, 1, 2)
        return attended

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.recurrence):
            # In this order, since a sum is laid out in memory as its first term is.
            x = x + self.gamma * self.attend(x)
        return x


def _make(channels: int, height: int, width: int, *, reduction: int, recurrence: int) -> nn.Module:
    return CrissCross(channels, paper_width(channels, reduction), recurrence)


CC = Block(
    name="cc",
    title="Criss-cross attention",
    paper="https://arxiv.org/abs/1811.11721",
    make=_make,
    closed_by=("gamma",),
    gates=0,
    options={"reduction": (8, 16), "recurrence": (2, 1)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)
