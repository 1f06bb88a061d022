"""FFNified attention. Yun, Lee, Ro (FFNet, MetaMixer), https://arxiv.org/abs/2406.02021

No library has it. Self-attention's query, keys and values with the means of a feed-forward
layer: the query is a normalised pointwise projection, a depthwise convolution compares it with
the keys (its weights), GELU stands where softmax stood, and a second depthwise convolution
gathers the values. It has the shape of its input and is added to it, as in the authors' block.

The kernel is 7 in the authors' late stages and 3 in their early ones. They train a kernel of 7
with a twin of 3 beside it, each with its batch norm, and fold both into one convolution of 7
with bias to deploy; here is the folded one, since a block should be measured as it will run.
Parameters: C^2 + 2C + 2C (k^2 + 1).
"""

from __future__ import annotations

from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from nas.blocks.block import Block

__all__ = ["FFA"]


class FFNifiedAttention(nn.Module):
    """FFNified attention that is added to its input: x + values(GELU(keys(query(x))))."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.query = ConvNormAct(channels, channels, 1, apply_act=False)
        self.keys = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.act = nn.GELU()
        self.values = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        for layer in (self.query.conv, self.keys, self.values):
            trunc_normal_(layer.weight, std=0.02)
        for layer in (self.keys, self.values):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        gathered: Tensor = self.values(self.act(self.keys(self.query(x))))
        return x + gathered


def _make(channels: int, height: int, width: int, *, kernel_size: int) -> nn.Module:
    return FFNifiedAttention(channels, kernel_size)


FFA = Block(
    name="ffa",
    title="FFNified attention",
    paper="https://arxiv.org/abs/2406.02021",
    make=_make,
    closed_by=("values.weight", "values.bias"),
    gates=0,
    options={"kernel_size": (7, 3, 5)},
)
