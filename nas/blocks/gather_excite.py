"""Gather-excite. Hu, Shen, Albanie, Sun, Vedaldi, https://arxiv.org/abs/1810.12348

Own code: timm's `GatherExcite` cannot be built with its own MLP or gather (TypeError in
1.0.31), and would pad the global gather, which the authors do not. A gather operator pools the
map over an extent, an excite operator resizes the result to the map (nearest neighbour) and
takes its sigmoid as a gate. `variant` names the paper's three:

    theta_plus   depthwise gather, then a bottleneck of 1x1 convolutions as in SE: 2Cm + m + C more
    theta        depthwise gather
    theta_minus  average gather, windows of 2e - 1 at a stride of e: 1 parameter

`extent` is the whole map (one depthwise convolution of its size, CHW + 2C parameters), or 8 or
2 positions (3 or 1 depthwise 3x3 convolutions of stride 2, 11C each). Every convolution of the
gather has its batch norm, and a ReLU unless the gate is next. The authors' Caffe models, which
hold theta and theta_plus over the whole map, are like this. Two things are ours: theta_minus
multiplies what it has pooled by one weight, 1 at first (0 at an identity start), where the
paper has no parameter; and m = C // 16 has a floor of 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.block import Block, paper_width

__all__ = ["GE"]

_HALVINGS = {"e8": 3, "e2": 1}


class Slope(nn.Module):
    """A factor that is learnt, one for the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class GlobalMean(nn.Module):
    """The gather of the whole map: the mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


class GatherExcite(nn.Module):
    """Gather-excite: a gate of what is gathered.

    gather: the layers before `last`.
    last: the layer whose weight at zero closes the gate.
    """

    def __init__(self, gather: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.gather = gather
        self.last = last
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        context = self.last(self.gather(x))
        if context.shape[2:] != (1, 1):
            context = F.interpolate(context, size=x.shape[2:])
        gate: Tensor = self.gate(context)
        return x * gate


def _averages(extent: str) -> nn.Module:
    if extent == "global":
        return GlobalMean()
    side = 2 ** _HALVINGS[extent]
    return nn.AvgPool2d(2 * side - 1, stride=side, padding=side - 1, count_include_pad=False)


def _convolutions(channels: int, height: int, width: int, extent: str) -> list[nn.Module]:
    """Convolution, norm, ReLU, convolution, norm and so on; a norm is the last."""
    if extent == "global":
        convolution = nn.Conv2d(channels, channels, (height, width), groups=channels, bias=False)
        return [convolution, nn.BatchNorm2d(channels)]
    layers: list[nn.Module] = []
    for _ in range(_HALVINGS[extent]):
        layers += [
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
    return layers[:-1]


def _dense(inputs: int, outputs: int) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _make(channels: int, height: int, width: int, *, variant: str, extent: str) -> nn.Module:
    if variant == "theta_minus":
        return GatherExcite(_averages(extent), Slope())
    gather = _convolutions(channels, height, width, extent)
    if variant == "theta":
        return GatherExcite(nn.Sequential(*gather[:-1]), gather[-1])
    hidden = paper_width(channels, 16)
    squeeze = [nn.ReLU(), _dense(channels, hidden), nn.ReLU()]
    return GatherExcite(nn.Sequential(*gather, *squeeze), _dense(hidden, channels))


GE = Block(
    name="ge",
    title="Gather-excite",
    paper="https://arxiv.org/abs/1810.12348",
    make=_make,
    closed_by=("last.weight",),
    options={
        "variant": ("theta_plus", "theta", "theta_minus"),
        "extent": ("global", "e8", "e2"),
    },
)
