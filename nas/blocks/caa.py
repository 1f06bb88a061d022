"""Context anchor attention. Cai et al. (PKINet), https://arxiv.org/abs/2403.06258

No library has it. An average over 7 x 7 positions, a pointwise convolution, a depthwise one along
rows and one along columns, of k positions each, another pointwise one, and a sigmoid: the gate of
the map. As in the authors' networks there is neither a norm nor an activation
between them; their module can have both. k is 11 in the first block of a stage there and grows by
2 from block to block. Parameters: 2C^2 + 4C + 2kC.
"""

from __future__ import annotations

from torch import Tensor, nn

from nas.blocks.block import Block

__all__ = ["CAA"]

_AROUND = 7


class ContextAnchorAttention(nn.Module):
    """A gate that sees a wide strip along each axis."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        around = kernel_size // 2
        self.average = nn.AvgPool2d(_AROUND, 1, _AROUND // 2)
        self.before = nn.Conv2d(channels, channels, 1)
        self.along_rows = nn.Conv2d(
            channels, channels, (1, kernel_size), padding=(0, around), groups=channels
        )
        self.along_columns = nn.Conv2d(
            channels, channels, (kernel_size, 1), padding=(around, 0), groups=channels
        )
        self.after = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        context = self.along_columns(self.along_rows(self.before(self.average(x))))
        gate: Tensor = self.gate(self.after(context))
        return x * gate


def _make(channels: int, height: int, width: int, *, kernel_size: int) -> nn.Module:
    return ContextAnchorAttention(channels, kernel_size)


CAA = Block(
    name="caa",
    title="Context anchor attention",
    paper="https://arxiv.org/abs/2403.06258",
    make=_make,
    closed_by=("after.weight", "after.bias"),
    options={"kernel_size": (11, 7, 15)},
)
