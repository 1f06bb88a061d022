"""Lambda layer. Bello (LambdaNetworks), https://arxiv.org/abs/2102.08602

timm's `LambdaLayer` with local context: the map around each position becomes one linear
function, a lambda, of what is there (softmax of keys times values) and where (an r x r
convolution of the values), which every head applies to its query (section 3.1; u = 1, keys of
16 channels, r = 23; timm's default r is 9). The convolution has a bias, as in the ports. It is
one in three dimensions there, which some runtimes for phones do not speed up.

The paper puts it in a residual block, with a batch norm behind; so here, with the input added.
No code of the author's for PyTorch. Parameters, with h heads of v = C / h channels:
C (16h + 16 + v) + 32h + 2v + 16 (r^2 + 1) + 2C.
"""

from __future__ import annotations

from collections.abc import Mapping

from timm.layers.lambda_layer import LambdaLayer
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions, undivided
from nas.spec.architecture import Option

__all__ = ["LAMBDA"]

_KEY_CHANNELS = 16


class LambdaInsertion(nn.Module):
    """A lambda layer that is added to its input: x + norm(lambda(x))."""

    def __init__(self, channels: int, kernel_size: int, heads: int) -> None:
        super().__init__()
        self.attention = LambdaLayer(
            channels, num_heads=heads, dim_head=_KEY_CHANNELS, r=kernel_size
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.norm(self.attention(x))
        return x + added


def _make(channels: int, height: int, width: int, *, kernel_size: int, heads: int) -> nn.Module:
    return LambdaInsertion(channels, kernel_size, heads)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    heads = int(options["heads"])
    return undivided(channels, heads, "heads") or too_many_positions(height, width)


LAMBDA = Block(
    name="lambda",
    title="Lambda layer",
    paper="https://arxiv.org/abs/2102.08602",
    make=_make,
    closed_by=("norm.weight", "norm.bias"),
    gates=0,
    options={"kernel_size": (23, 15, 9), "heads": (4, 8)},
    limits=_limits,
)
