"""Attention augmentation. Bello et al., https://arxiv.org/abs/1904.09925

timm's `BottleneckAttn` (biases in, positions scaled with the content) is the paper's
multi-head attention over all positions, with relative logits along height and width shared by
the heads (equations 1 to 4). The paper puts it beside a convolution and joins their channels;
as an insertion its projection (W^O of equation 2) goes to all channels and is added to the
input. Per head, values have max(1, C // (r heads)) channels (the paper's share of values 0.1
is r = 10) and keys twice that, at least 20, as in the paper.

Attention over all pairs is for small maps: the paper augments from 28 x 28 on. The position
tables belong to one map size. Parameters, with m = heads values and d keys per head:
(C + 1)(2 heads d + m) + d (2H - 1 + 2W - 1) + (m + 1) C.
"""

from __future__ import annotations

from collections.abc import Mapping

from timm.layers.bottleneck_attn import BottleneckAttn
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions
from nas.spec.architecture import Option

__all__ = ["AA"]

_LEAST_KEYS = 20
_MOST_POSITIONS = 32 * 32


class AugmentedInsertion(nn.Module):
    """Augmented attention that is added to its input: x + project(attention(x))."""

    def __init__(self, channels: int, height: int, width: int, heads: int, values: int) -> None:
        super().__init__()
        self.attention = BottleneckAttn(
            channels,
            dim_out=values,
            feat_size=(height, width),
            num_heads=heads,
            dim_head=max(_LEAST_KEYS, 2 * values // heads),
            qkv_bias=True,
            scale_pos_embed=True,
        )
        self.project = nn.Conv2d(values, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = self.project(self.attention(x))
        return x + attended


def _width(channels: int, options: Mapping[str, Option]) -> int:
    """Channels of the values of all heads."""
    heads = int(options["heads"])
    return heads * max(1, channels // (int(options["reduction"]) * heads))


def _make(channels: int, height: int, width: int, *, reduction: int, heads: int) -> nn.Module:
    values = _width(channels, {"reduction": reduction, "heads": heads})
    return AugmentedInsertion(channels, height, width, heads, values)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return too_many_positions(height, width, _MOST_POSITIONS)


AA = Block(
    name="aa",
    title="Attention augmentation",
    paper="https://arxiv.org/abs/1904.09925",
    make=_make,
    closed_by=("project.weight", "project.bias"),
    gates=0,
    options={"reduction": (10, 4), "heads": (8, 4)},
    width=_width,
    limits=_limits,
)
