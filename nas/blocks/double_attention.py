"""Double attention, the A2 block. Chen et al., https://arxiv.org/abs/1810.11579

Own code, section 3.3: Z = [phi(X) softmax(theta(X))^T] softmax(rho(X)). The first softmax runs
over positions: each of n maps gathers one descriptor of m features. The second runs over the n
descriptors: each position mixes them. A 1x1 convolution brings Z back to C channels, and it
is added to the input. The authors published no code; the convolutions have biases, as in the
known ports, and m = n = C // 4. A floor of 8 is ours: with one descriptor there would be
nothing to select. Cost is linear in positions. Parameters: 4Cm + 3m + C.
"""

from __future__ import annotations

from torch import Tensor, nn

from nas.blocks.block import Block, paper_width

__all__ = ["A2"]


class DoubleAttention(nn.Module):
    """Double attention: descriptors of the map are gathered, then given to every position."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, hidden, 1)
        self.gather = nn.Conv2d(channels, hidden, 1)
        self.distribute = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        positions = self.gather(x).flatten(2).softmax(dim=2)
        descriptors = self.features(x).flatten(2) @ positions.transpose(1, 2)  # (N, m, n)
        selected = descriptors @ self.distribute(x).flatten(2).softmax(dim=1)
        expanded: Tensor = self.expand(selected.reshape(-1, selected.shape[1], *x.shape[2:]))
        return x + expanded


def _make(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return DoubleAttention(channels, paper_width(channels, reduction))


A2 = Block(
    name="a2",
    title="Double attention",
    paper="https://arxiv.org/abs/1810.11579",
    make=_make,
    closed_by=("expand.weight", "expand.bias"),
    gates=0,
    options={"reduction": (4, 8, 16)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)
