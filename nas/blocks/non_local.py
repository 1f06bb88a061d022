"""Non-local block. Wang, Girshick, Gupta, He, https://arxiv.org/abs/1711.07971

timm's `NonLocalAttn`: the embedded Gaussian, softmax(theta(x)^T phi(x)) g(x) (equation 3),
then W_z and a batch norm whose scale starts at zero (section 4.1), added to the input
(equation 6). Without timm's division of the logits, which the equation does not have (the
authors' Caffe2 code divides by sqrt(m)): theta's weights absorb it. Convolutions start at
N(0, 0.01) as theirs. `subsample` is the paper's max pooling after phi and g (section 3.3), on
in the authors' settings; timm has none. Parameters: 4Cm + 3m + 3C, with m = C // r.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.layers.non_local_attn import NonLocalAttn
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["NL"]

_POSITIONS = 56 * 56
"""Above, the attention matrix alone takes over 39 MB an image (a quarter when subsampled)."""


class NonLocal(NonLocalAttn):
    """timm's block, with a sum that is laid out in memory as its input is.

    timm's own gives channels last, which the convolutions behind it round otherwise.
    """

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (layer(x).flatten(2) for layer in (self.t, self.p, self.g))
        attention = (queries.transpose(1, 2) @ keys).softmax(dim=2)
        attended = (attention @ values.transpose(1, 2)).transpose(1, 2)
        batch, hidden, height, width = x.shape[0], queries.shape[1], *x.shape[2:]
        added: Tensor = self.norm(self.z(attended.reshape(batch, hidden, height, width)))
        return x + added


def _width(channels: int, options: Mapping[str, Option]) -> int:
    return max(1, channels // int(options["reduction"]))


def _make(channels: int, height: int, width: int, *, reduction: int, subsample: bool) -> nn.Module:
    hidden = _width(channels, {"reduction": reduction})
    block: Any = NonLocal(channels, use_scale=False, rd_channels=hidden)  # type: ignore[no-untyped-call]
    for convolution in (block.t, block.p, block.g, block.z):
        nn.init.normal_(convolution.weight, std=0.01)
    if subsample:
        block.p = nn.Sequential(block.p, nn.MaxPool2d(2))
        block.g = nn.Sequential(block.g, nn.MaxPool2d(2))
    module: nn.Module = block
    return module


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    if height * width > _POSITIONS:
        return f"every pair of {height}x{width} positions is too many; at most {_POSITIONS}"
    if options["subsample"] and min(height, width) < 2:
        return f"its map of {height}x{width} is too small to subsample"
    return None


NL = Block(
    name="nl",
    title="Non-local block",
    paper="https://arxiv.org/abs/1711.07971",
    make=_make,
    closed_by=("norm.weight", "norm.bias"),
    gates=0,
    options={"reduction": (2, 4, 8), "subsample": (True, False)},
    width=_width,
    limits=_limits,
)
