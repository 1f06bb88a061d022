"""One direction of coordinate attention. Hou, Zhou, Feng, https://arxiv.org/abs/2103.02907

The ablations "X Attention" and "Y Attention" of the paper's section 4.2. No library has them,
and their code is not published: they are what is left of coordinate attention when one
direction is removed, and equal the authors' code without that direction's gate, except that in
training the batch norm sees one direction alone. `coord_x` pools along each row (equation 4) and
gates the rows; `coord_y` pools along each column (equation 5) and gates the columns. Hidden
width m = max(8, C // r). Parameters: 2Cm + 3m + C.
"""

from __future__ import annotations

from torch import Tensor, nn

from nas.blocks.block import Block, paper_width

__all__ = ["COORD_X", "COORD_Y"]


class _AxisAttention(nn.Module):
    """Equations 4 to 8, with one of the two gates.

    pooled: the dimension of (N, C, H, W) that is averaged away: 3 for X, 2 for Y.
    """

    def __init__(self, channels: int, hidden: int, pooled: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.act = nn.Hardswish()
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        z = x.mean(dim=self.pooled, keepdim=True)
        f = self.act(self.norm(self.reduce(z)))
        gate: Tensor = self.gate(self.expand(f))
        return x * gate


def _make_x(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return _AxisAttention(channels, paper_width(channels, reduction), pooled=3)


def _make_y(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return _AxisAttention(channels, paper_width(channels, reduction), pooled=2)


COORD_X = Block(
    name="coord_x",
    title="Coordinate attention along X alone",
    paper="https://arxiv.org/abs/2103.02907",
    make=_make_x,
    closed_by=("expand.weight", "expand.bias"),
    options={"reduction": (32, 8, 16)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)

COORD_Y = Block(
    name="coord_y",
    title="Coordinate attention along Y alone",
    paper="https://arxiv.org/abs/2103.02907",
    make=_make_y,
    closed_by=("expand.weight", "expand.bias"),
    options={"reduction": (32, 8, 16)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)
