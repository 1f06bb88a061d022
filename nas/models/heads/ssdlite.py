"""SSDLite, arXiv:1801.04381, section 6.2.

torchvision's prediction layers read six maps: two of a backbone, and four smaller ones behind them.
The two are those that the paper reads: what the last strided convolution reads, which in an
inverted residual is widened, and the end of the backbone, with its last 1x1 convolution. Of small
images these have few places, so that finer maps come before them, and fewer ones behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

from nas.backbones import FeatureMap
from nas.models.heads.default_boxes import joined, laid, priors, priors_at_each_place, rows

__all__ = ["SHIFTS", "SSDLite"]

SHIFTS = (10.0, 5.0)
"""The factors on SSD's regression of centres, and of logarithms of sides: arXiv:1512.02325."""

_EXTRA = (512, 256, 256, 128)  # channels of the maps behind the backbone's
_MAPS = 6  # in all
_LEAST = 8  # places along each side of the finest map that is read, if there is one
_MOST = math.log(1000 / 16)  # torchvision's: how far a side may be from the default box's


class SSDLite(nn.Module):
    """Boxes and logits of default boxes at each place of six maps."""

    neck: ClassVar[tuple[str, ...]] = ("extra",)

    def __init__(self, maps: Sequence[FeatureMap], classes: int) -> None:
        super().__init__()
        self.columns = classes + 1
        norm = partial(_BatchNorm, eps=0.001, momentum=0.03)
        channels = [one.channels for one in maps]
        self.extra = nn.ModuleList()
        for after in _EXTRA[: _MAPS - len(maps)]:
            self.extra.append(_extra(channels[-1], after, norm))
            channels.append(after)
        _start(self.extra)
        boxes = list(priors_at_each_place(len(channels)))
        self.scores = SSDLiteHead(channels, boxes, self.columns, norm)

    @staticmethod
    def read(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose the last two, or more of small images, as wide as the backbone makes them."""
        if len(maps) < 2:
            return ()
        fine = [place for place, one in enumerate(maps) if min(one.height, one.width) >= _LEAST]
        first = min(max(fine, default=0), len(maps) - 2)
        return tuple(one.widest for one in maps[first:][-_MAPS:])

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Map all to what is said of the default boxes: see `default_boxes`."""
        for layer in self.extra:
            maps = [*maps, layer(maps[-1])]
        regression, classification = (
            torch.cat(
                [rows(layer(one), columns) for layer, one in zip(layers, maps, strict=True)], 1
            )
            for layers, columns in (
                (self.scores.regression_head.module_list, 4),
                (self.scores.classification_head.module_list, self.columns),
            )
        )
        defaults = laid(priors, maps, size)
        return joined(_decoded(regression, defaults), classification, defaults)


def _decoded(regression: Tensor, defaults: Tensor) -> Tensor:
    """Return boxes. regression: (N, A, 4), shifts of the centre and logarithms of sides.

    torchvision's decoding, but that a side has a least size as well as a largest.
    """
    first, last = defaults.chunk(2, dim=1)
    sides, middle = last - first, (first + last) / 2
    centre = regression[..., :2] * (sides / SHIFTS[0]) + middle
    half = (regression[..., 2:] / SHIFTS[1]).clamp(-_MOST, _MOST).exp() * (sides / 2)
    return torch.cat([centre - half, centre + half], dim=2)


class _BatchNorm(nn.BatchNorm2d):
    """One that goes by its running mean where one image gives it a single value to learn from.

    The last maps have one place alone, also of images of 320 pixels.
    """

    def forward(self, given: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        if self.training and given.shape[0] * given.shape[2] * given.shape[3] == 1:
            return nn.functional.batch_norm(
                given, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(given)


def _extra(before: int, after: int, norm: partial[_BatchNorm]) -> nn.Sequential:
    """Return layers to a map of half the size: torchvision's, which are private there."""
    layer = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
    within = after // 2
    return nn.Sequential(
        layer(before, within, kernel_size=1),
        layer(within, within, kernel_size=3, stride=2, groups=within),
        layer(within, after, kernel_size=1),
    )


def _start(layers: nn.Module) -> None:
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.03)  # torchvision's
