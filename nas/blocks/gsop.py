"""Global second-order pooling. Gao, Xie, Wang, Li, https://arxiv.org/abs/1811.12006

Own code, the channel attention of the authors, their default: ReLU, a 1x1 convolution to m
channels with batch norm and ReLU, their m x m covariance over the positions, batch norm of its
rows, a row-wise convolution to 4 values a row, a 1x1 convolution to C gates. The authors keep
m = 128 for 256 channels and more; here it is at most C. As theirs, the first convolution has a
stride of 2 on maps of 56 x 56 and above.
Parameters: 5Cm + C + 4m^2 + 9m.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["GSOP"]

_PAPER = 128


class SecondOrderPooling(nn.Module):
    """Global second-order pooling: a gate for each channel, of the covariance of channels."""

    def __init__(self, channels: int, hidden: int, stride: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1, stride=stride)
        self.norm = nn.BatchNorm2d(hidden)
        self.act = nn.ReLU()
        self.row_norm = nn.BatchNorm2d(hidden)
        self.rows = nn.Conv2d(hidden, 4 * hidden, (hidden, 1), groups=hidden)
        self.expand = nn.Conv2d(4 * hidden, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        features = self.act(self.norm(self.reduce(self.act(x)))).flatten(2)
        deviation = features - features.mean(dim=2, keepdim=True)
        # Divided first: a sum over a large map would overflow half precision.
        covariance = (deviation / features.shape[2]) @ deviation.transpose(1, 2)
        gate: Tensor = self.gate(self.expand(self.rows(self.row_norm(covariance.unsqueeze(3)))))
        return x * gate


def _make(channels: int, height: int, width: int, *, covariance: int) -> nn.Module:
    stride = 2 if min(height, width) >= 56 else 1
    return SecondOrderPooling(channels, min(covariance, channels), stride)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    covariance = int(options["covariance"])
    if covariance != _PAPER and covariance >= channels:
        return f"a covariance of {covariance} channels is no less than its {channels} channels"
    if height * width == 1:
        return "the covariance over a single position is zero"
    return None


GSOP = Block(
    name="gsop",
    title="Global second-order pooling",
    paper="https://arxiv.org/abs/1811.12006",
    make=_make,
    closed_by=("expand.weight", "expand.bias"),
    options={"covariance": (_PAPER, 64, 32)},
    limits=_limits,
)
