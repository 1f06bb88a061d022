"""Bi-level routing attention. Zhu et al. (BiFormer), https://arxiv.org/abs/2303.08810

No library has it. S x S regions; each region's mean query picks the k regions with the most
similar mean keys, and its positions attend to all positions there (section 3.2). A depthwise
5 x 5 convolution of the values is added before the output projection. As in the authors' code,
no gradient flows through the choice, heads share it, and logits are scaled by 1 / sqrt(C).
Regions are H // S positions tall and W // S wide, at least 1; a map that they do not tile is
padded with zeros behind the projection. Around it is their residual block's first half: a
batch norm before, as in their network of NCHW maps (attention collapses without a norm, they
say), and the input added.

Heads have 32 channels there; where 32 does not divide C, there are as many heads as divide it,
at most C // 32. Their k is 1, 4, 16 and all from stage to stage. Of fewer than k regions all
are taken. Parameters: 2C + 3C(C + 1) + 26C + C(C + 1) = 4C^2 + 32C.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions
from nas.blocks.windows import attend, by_window, from_windows, heads_of
from nas.spec.architecture import Option

__all__ = ["BRA"]


def _means(x: Tensor, region: tuple[int, int]) -> Tensor:
    """Average each region, without what is beyond the map: (N, C, regions)."""
    return functional.avg_pool2d(x, region, ceil_mode=True, count_include_pad=False).flatten(2)


def _gather(x: Tensor, chosen: Tensor) -> Tensor:
    """Gather the k regions that each one chose: (N, C, regions, k positions).

    chosen: (N, regions, k).
    """
    (channels, regions, positions), k = x.shape[1:], chosen.shape[2]
    index = chosen.reshape(-1, 1, regions * k, 1).expand(-1, channels, -1, positions)
    return x.gather(2, index).reshape(-1, channels, regions, k * positions)


class BiLevelRoutingAttention(nn.Module):
    """Bi-level routing that is added to its input: x + project(attention(norm(x)))."""

    def __init__(self, channels: int, region: tuple[int, int], topk: int) -> None:
        super().__init__()
        self.heads, self.region, self.topk = heads_of(channels), region, topk
        self.scale = channels**-0.5
        self.norm = nn.BatchNorm2d(channels)
        self.local = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x)).chunk(3, dim=1)
        alike = _means(query, self.region).transpose(1, 2) @ _means(key, self.region)
        chosen = alike.topk(self.topk).indices
        q, k, v = (by_window(part, self.region) for part in (query, key, value))
        attended = attend(q, _gather(k, chosen), _gather(v, chosen), self.heads, self.scale)
        y = from_windows(attended, self.region, x) + self.local(value)
        projected: Tensor = self.project(y)
        return x + projected


def _make(channels: int, height: int, width: int, *, topk: int, regions: int) -> nn.Module:
    tall, wide = max(1, height // regions), max(1, width // regions)
    there_are = math.ceil(height / tall) * math.ceil(width / wide)
    return BiLevelRoutingAttention(channels, (tall, wide), min(topk, there_are))


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return too_many_positions(height, width)


BRA = Block(
    name="bra",
    title="Bi-level routing attention",
    paper="https://arxiv.org/abs/2303.08810",
    make=_make,
    closed_by=("project.weight", "project.bias"),
    gates=0,
    options={"topk": (4, 1, 16), "regions": (7,)},
    limits=_limits,
)
