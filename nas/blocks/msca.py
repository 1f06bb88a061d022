"""Multi-scale convolutional attention. Guo et al. (SegNeXt), https://arxiv.org/abs/2209.08575

No library keeps it by itself. A depthwise convolution of 5 x 5, the sum of what came out with
three pairs of strips behind it (1 x k, then k x 1, with k of 7, 11 and 21), a pointwise
convolution, and the product with the map. As in large-kernel attention, the
two projections and the GELU around it belong to their backbone's block and are left out.
Parameters: C^2 + C (26 + 2 (7 + 11 + 21) + 6 + 1).

Its gate is linear, so it starts as an identity with a last layer that always gives 1: nothing
to fold away later. Nothing bounds it either: it is quadratic in its input.
"""

from __future__ import annotations

from torch import Tensor, nn

from nas.blocks.block import Block

__all__ = ["MSCA"]

_STRIPS = (7, 11, 21)


def _strips(channels: int, length: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, (1, length), padding=(0, length // 2), groups=channels),
        nn.Conv2d(channels, channels, (length, 1), padding=(length // 2, 0), groups=channels),
    )


class MultiScaleConvolutionalAttention(nn.Module):
    """The map times a sum of strips of three lengths."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.strips = nn.ModuleList(_strips(channels, length) for length in _STRIPS)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        near: Tensor = self.near(x)
        scales = near
        for strip in self.strips:
            scales = scales + strip(near)
        attention: Tensor = self.mix(scales)
        return x * attention


def _make(channels: int, height: int, width: int) -> nn.Module:
    return MultiScaleConvolutionalAttention(channels)


def _open(module: nn.Module) -> None:
    assert isinstance(module, MultiScaleConvolutionalAttention)
    assert module.mix.bias is not None
    nn.init.zeros_(module.mix.weight)
    nn.init.ones_(module.mix.bias)


MSCA = Block(
    name="msca",
    title="Multi-scale convolutional attention",
    paper="https://arxiv.org/abs/2209.08575",
    make=_make,
    gates=0,
    open=_open,
)
