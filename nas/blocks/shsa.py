"""Single-head self-attention. Yun and Ro (SHViT), https://arxiv.org/abs/2401.16456

No library has it. Attention of one head between all positions, for the first channels alone,
C / 4.67 of them as in the authors' late stages; the others go past it. A group norm of one group
stands before queries, keys (16 channels each) and values, each with a batch norm behind; then a
ReLU and a pointwise convolution of all channels, with a batch norm whose scale starts at zero as
theirs, and the input added. Parameters, with p = 3C // 14 and d = 16:
p (p + 2d) + 2 (p + 2d) + 2p + C^2 + 2C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.conv_bn_act import ConvNormAct
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions
from nas.spec.architecture import Option

__all__ = ["SHSA"]


class SingleHeadAttention(nn.Module):
    """Attention of some channels, added to the input: x + project(attention and the rest)."""

    def __init__(self, channels: int, attended: int, key_channels: int) -> None:
        super().__init__()
        self.parts = [attended, channels - attended]
        self.key_channels, self.attended = key_channels, attended
        self.norm = nn.GroupNorm(1, attended)
        self.qkv = ConvNormAct(attended, 2 * key_channels + attended, 1, apply_act=False)
        self.act = nn.ReLU()
        self.project = ConvNormAct(channels, channels, 1, apply_act=False)
        nn.init.zeros_(self.project.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        some, rest = torch.split(x, self.parts, dim=1)
        qkv = self.qkv(self.norm(some)).flatten(2)
        q, k, v = torch.split(qkv, [self.key_channels, self.key_channels, self.attended], dim=1)
        weights = (q.transpose(1, 2) @ k * self.key_channels**-0.5).softmax(dim=2)
        attended = (v @ weights.transpose(1, 2)).reshape(-1, self.attended, *x.shape[2:])
        projected: Tensor = self.project(self.act(torch.cat([attended, rest], dim=1)))
        return x + projected


def _attended(channels: int) -> int:
    return 3 * channels // 14


def _make(channels: int, height: int, width: int, *, key_channels: int) -> nn.Module:
    return SingleHeadAttention(channels, _attended(channels), key_channels)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    if _attended(channels) == 0:
        return f"of its {channels} channels none would be attended; at least 5 are needed"
    if height * width == 1:
        return "its one position has no others to attend to"
    return too_many_positions(height, width)


SHSA = Block(
    name="shsa",
    title="Single-head self-attention",
    paper="https://arxiv.org/abs/2401.16456",
    make=_make,
    closed_by=("project.bn.weight", "project.bn.bias"),
    gates=0,
    options={"key_channels": (16, 8)},
    limits=_limits,
)
