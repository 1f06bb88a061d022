"""SpaRTAN's two mixers. Pang et al., https://arxiv.org/abs/2507.10999

No library has them. `spartan_space`, the multi-order spatial mixer: half as many channels, from
which a learnable share of their averages is taken; a depthwise 3 x 3 convolution for high
frequencies beside two dilated ones for low, each with a squeeze-and-excitation; both joined and
projected. `spartan_wave`, the wave-based channel aggregation: amplitude and phase of each position,
two pointwise layers of twice the channels, are multiplied, and so are those of the position's
strongest channel; the sum is turned by one complex number for each pair of channels; then a 3 x 3
convolution within each group, squeeze-and-excitation, projection.

Around each, as in the authors' block: a group norm of one group before, one learnable scale for
each channel behind, which starts at 1e-5 there, and the input added. Convolutions are depthwise
and the second mixer expands by 2, as in their two late stages, which hold 14 of 20 blocks; their
early stages have full convolutions. Channels must divide by 8, as there.
Parameters: 1.75 C^2 + 21.75 C and 7C^2 + 52.25 C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.conv_bn_act import ConvNormAct
from torch import Tensor, nn

from nas.blocks.block import Block
from nas.blocks.limits import undivided
from nas.spec.architecture import Option

__all__ = ["SPARTAN_SPACE", "SPARTAN_WAVE"]

_EPSILON = 1e-6
_EXPANSION = 2


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation within a mixer, which the mixer's scale closes."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.act = nn.ReLU()
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.squeeze(x.mean((2, 3), keepdim=True)))
        excited: Tensor = x * self.excite(hidden).sigmoid()
        return excited


def _convolution(channels: int, groups: int, dilation: int = 1) -> ConvNormAct:
    layer = ConvNormAct(channels, channels, 3, dilation=dilation, groups=groups, act_layer=nn.GELU)
    layer.bn.eps = _EPSILON
    return layer


class SpatialMixer(nn.Module):
    """High and low frequencies of half the channels, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.share = nn.Parameter(torch.full((half, 1, 1), 1e-5))
        self.reduce = nn.Conv2d(channels, half, 1)
        self.high = _convolution(half, half)
        self.low = nn.Sequential(
            nn.Conv2d(half, half, 3, padding=2, dilation=2, groups=half, bias=False),
            _convolution(half, half, dilation=2),
        )
        self.high_excitation = SqueezeExcitation(half, half // 4)
        self.low_excitation = SqueezeExcitation(half, half // 4)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.reduce(x)
        y = y + self.share * (y - y.mean((2, 3), keepdim=True))
        high, low = self.high_excitation(self.high(y)), self.low_excitation(self.low(y))
        projected: Tensor = self.project(torch.cat([high, low], dim=1))
        return projected


class WaveMixer(nn.Module):
    """Channels as waves: amplitudes times phases, turned, and aggregated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = _EXPANSION * channels
        self.amplitude = nn.Conv2d(channels, hidden, 1)
        self.act = nn.GELU()
        self.phase = nn.Conv2d(channels, hidden, 1)
        self.turn = nn.Parameter(torch.randn(hidden // 2, 2))  # real and imaginary parts
        self.aggregate = _convolution(hidden, channels)
        self.excitation = SqueezeExcitation(hidden, channels // 4)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        strongest = x.argmax(dim=1, keepdim=True)
        amplitude, phase = self.act(self.amplitude(x)), self.phase(x)
        wave = phase * amplitude + phase.gather(1, strongest) * amplitude.gather(1, strongest)
        aggregated = self.excitation(self.aggregate(self._turned(wave)))
        projected: Tensor = self.project(aggregated)
        return projected

    def _turned(self, wave: Tensor) -> Tensor:
        """Multiply pairs of channels, as complex numbers, by one each."""
        channels, height, width = wave.shape[1:]
        pairs = wave.reshape(-1, channels // 2, 2, height * width)
        real, imaginary = pairs[:, :, :1], pairs[:, :, 1:]
        cosine, sine = self.turn[:, :1, None], self.turn[:, 1:, None]
        turned = torch.cat(
            [cosine * real - sine * imaginary, cosine * imaginary + sine * real], dim=2
        )
        return turned.reshape(-1, channels, height, width)


class ScaledInsertion(nn.Module):
    """A mixer that is added to its input: x + scale * mixer(norm(x))."""

    def __init__(self, channels: int, mixer: nn.Module) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, eps=_EPSILON)
        self.mixer = mixer
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mixer(self.norm(x))
        return x + self.scale * mixed


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    return undivided(channels, 8, "parts")


def _make_space(channels: int, height: int, width: int) -> nn.Module:
    return ScaledInsertion(channels, SpatialMixer(channels))


def _make_wave(channels: int, height: int, width: int) -> nn.Module:
    return ScaledInsertion(channels, WaveMixer(channels))


SPARTAN_SPACE = Block(
    name="spartan_space",
    title="SpaRTAN's multi-order spatial mixer",
    paper="https://arxiv.org/abs/2507.10999",
    make=_make_space,
    closed_by=("scale",),
    gates=0,
    limits=_limits,
)

SPARTAN_WAVE = Block(
    name="spartan_wave",
    title="SpaRTAN's wave-based channel aggregation",
    paper="https://arxiv.org/abs/2507.10999",
    make=_make_wave,
    closed_by=("scale",),
    gates=0,
    limits=_limits,
)
