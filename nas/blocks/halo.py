"""Halo attention. Vaswani et al., https://arxiv.org/abs/2103.12731

Blocks of b x b positions attend to themselves and a halo of h = 3 positions around, with
relative positions along each axis. The authors published no code. timm's `HaloAttn` cannot be
exported for batches of any size, so this is written anew, and equals timm's with position
logits scaled like the content's, as in attention augmentation, whence the paper has them;
timm's tables have 2h rows more, which nothing reads. Positions beyond the border have zero keys
and values and are not masked, as in timm. A map that blocks do not tile is padded with zeros
at its end: without biases that is the same.

Around it what an insertion needs: a batch norm behind, as at the end of the paper's residual
blocks, and the input added. Parameters, with d = C / heads: 3C^2 + 2d (2b + 2h - 1) + 2C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions, undivided
from nas.spec.architecture import Option

__all__ = ["HALO"]

_HALO = 3


class RelativeLogits(nn.Module):
    """The logits of each query for each offset: (n, b b, d) -> (n, b b, w w)."""

    offset: Tensor

    def __init__(self, block: int, window: int, each: int) -> None:
        super().__init__()
        self.block, self.window = block, window
        self.rows = nn.Parameter(torch.randn(window + block - 1, each) * each**-0.5)
        self.columns = nn.Parameter(torch.randn(window + block - 1, each) * each**-0.5)
        offset = torch.arange(window) - torch.arange(block)[:, None] + block - 1
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, q: Tensor) -> Tensor:
        places, window = self.block**2, self.window
        grid = q.reshape(-1, self.block, self.block, q.shape[2])
        rows = torch.einsum("nyxd,yvd->nyxv", grid, self.rows[self.offset])
        columns = torch.einsum("nyxd,xud->nyxu", grid, self.columns[self.offset])
        both = rows.reshape(-1, places, window, 1) + columns.reshape(-1, places, 1, window)
        return both.reshape(-1, places, window**2)


class HaloInsertion(nn.Module):
    """Halo attention that is added to its input: x + norm(attention(x))."""

    def __init__(self, channels: int, block: int, heads: int) -> None:
        super().__init__()
        self.block, self.window, self.each = block, block + 2 * _HALO, channels // heads
        self.q = nn.Conv2d(channels, channels, 1, bias=False)
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.positions = RelativeLogits(block, self.window, self.each)
        self.norm = nn.BatchNorm2d(channels)
        for layer in (self.q, self.kv):
            nn.init.normal_(layer.weight, std=channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        below = (self.block - height % self.block) % self.block
        right = (self.block - width % self.block) % self.block
        norm: Tensor = self.norm(
            self._attend(functional.pad(x, (0, right, 0, below)))[:, :, :height, :width]
        )
        return x + norm

    def _attend(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        blocks = height * width // self.block**2
        # Each head's windows are images of their own: (N heads blocks, positions, channels).
        q = self._windows(self.q(x), self.block, 0, self.each, blocks)
        kv = self._windows(self.kv(x), self.window, _HALO, 2 * self.each, blocks)
        k, v = kv.chunk(2, dim=2)
        logits = (q @ k.transpose(1, 2) + self.positions(q)) * self.each**-0.5
        y = (logits.softmax(dim=2) @ v).reshape(-1, blocks, self.block**2, self.each)
        y = y.permute(0, 3, 1, 2).reshape(-1, width // self.block, self.block, self.block)
        back: Tensor = y.transpose(1, 2).reshape(-1, channels, height, width)
        return back

    def _windows(self, x: Tensor, size: int, around: int, each: int, blocks: int) -> Tensor:
        windows = functional.unfold(x, size, padding=around, stride=self.block)
        windows = windows.reshape(-1, each, size**2, blocks)
        return windows.permute(0, 3, 2, 1).reshape(-1, size**2, each)


def _make(channels: int, height: int, width: int, *, block_size: int, heads: int) -> nn.Module:
    return HaloInsertion(channels, block_size, heads)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    heads = int(options["heads"])
    return undivided(channels, heads, "heads") or too_many_positions(height, width)


HALO = Block(
    name="halo",
    title="Halo attention",
    paper="https://arxiv.org/abs/2103.12731",
    make=_make,
    closed_by=("norm.weight", "norm.bias"),
    gates=0,
    options={"block_size": (8, 7, 4), "heads": (8, 4)},
    limits=_limits,
)
