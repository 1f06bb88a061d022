"""Large-kernel attention. Guo et al., https://arxiv.org/abs/2202.09741

No library keeps it by itself. A K x K convolution is taken apart into a depthwise one of
2d - 1, a depthwise one of ceil(K / d) with dilation d, and a pointwise one; what comes out
multiplies the map, without a sigmoid: x * Conv1x1(DW-D-Conv(DW-Conv(x))), with d = 3 and K = 21
and biases in the authors' code. The two projections and the GELU around it belong to their
backbone's block and are left out. Parameters, with n = ceil(K / 3): C^2 + C (25 + n^2 + 3).

Its gate is linear, so it starts as an identity with a last layer that always gives 1: nothing
to fold away later. Nothing bounds it either: it is quadratic in its input.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nas.blocks.block import Block
from nas.spec.architecture import Option

__all__ = ["LKA"]

_DILATION = 3


def _dilated_kernel(kernel_size: int) -> int:
    return -(-kernel_size // _DILATION)


class LargeKernelAttention(nn.Module):
    """Large-kernel attention: x times a large kernel, taken apart, of x."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        near, far = 2 * _DILATION - 1, _dilated_kernel(kernel_size)
        self.near = nn.Conv2d(channels, channels, near, padding=near // 2, groups=channels)
        self.far = nn.Conv2d(
            channels,
            channels,
            far,
            padding=far // 2 * _DILATION,
            dilation=_DILATION,
            groups=channels,
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        attention: Tensor = self.mix(self.far(self.near(x)))
        return x * attention


def _make(channels: int, height: int, width: int, *, kernel_size: int) -> nn.Module:
    return LargeKernelAttention(channels, kernel_size)


def _open(module: nn.Module) -> None:
    assert isinstance(module, LargeKernelAttention)
    assert module.mix.bias is not None
    nn.init.zeros_(module.mix.weight)
    nn.init.ones_(module.mix.bias)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    kernel = int(options["kernel_size"])
    if _dilated_kernel(kernel) % 2 == 0:
        return f"kernel {kernel} needs a dilated one of {_dilated_kernel(kernel)}, which is even"
    return None


LKA = Block(
    name="lka",
    title="Large-kernel attention",
    paper="https://arxiv.org/abs/2202.09741",
    make=_make,
    gates=0,
    open=_open,
    options={"kernel_size": (21, 15, 9)},
    limits=_limits,
)
