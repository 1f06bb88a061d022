"""FCOS, arXiv:1904.01355, made light: depthwise separable convolutions on torchvision's pyramid.

torchvision's has full convolutions of 256 channels, which cost many times as much as a mobile
backbone, and 3x3 ones at the end of its towers, where these are 1x1. Norms, activations and first
weights are its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from nas.backbones import FeatureMap
from nas.models.heads.default_boxes import joined, laid, points, rows

__all__ = ["FCOS"]

_CHANNELS = 128
_GROUPS = 32
_LAYERS = 4  # of a tower
_READ = 3
_COARSER = 2  # levels behind the maps
_RARE = 0.01  # what is told of each class at first: arXiv:1708.02002


class FCOS(nn.Module):
    """Boxes and logits at each place of five levels, by towers that the levels share."""

    neck: ClassVar[tuple[str, ...]] = ("pyramid", "coarser")

    def __init__(self, maps: Sequence[FeatureMap], classes: int) -> None:
        super().__init__()
        self.strides = [one.stride for one in maps]
        self.pyramid = FeaturePyramidNetwork([one.channels for one in maps], _CHANNELS)
        self.pyramid.layer_blocks = nn.ModuleList(_separable() for _ in maps)
        self.coarser = nn.ModuleList(_separable(stride=2) for _ in range(_COARSER))
        for _ in self.coarser:
            self.strides.append(2 * self.strides[-1])
        self.classification, self.regression = _tower(), _tower()
        self.scores = nn.Conv2d(_CHANNELS, classes, 1)
        self.sides = nn.Conv2d(_CHANNELS, 4, 1)
        self.centreness = nn.Conv2d(_CHANNELS, 1, 1)
        for part in (
            self.classification,
            self.regression,
            self.scores,
            self.sides,
            self.centreness,
        ):
            _start(part)
        assert self.scores.bias is not None
        nn.init.constant_(self.scores.bias, -math.log((1 - _RARE) / _RARE))

    @staticmethod
    def read(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose the last three."""
        return maps[-_READ:] if len(maps) > 1 else ()

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Map all to what is said of the points: see `default_boxes`."""
        levels = list(self.pyramid({str(number): one for number, one in enumerate(maps)}).values())
        for layer in self.coarser:
            levels.append(layer(levels[-1]))
        logits, sides = [], []
        for level, stride in zip(levels, self.strides, strict=True):
            about = self.regression(level)
            scores = self.scores(self.classification(level))
            logits.append(rows(torch.cat([self.centreness(about), scores], 1), 1 + scores.shape[1]))
            sides.append(rows(nn.functional.relu(self.sides(about)) * stride, 4))
        distances = torch.cat(sides, dim=1)
        defaults = laid(partial(points, tuple(self.strides)), levels, size)
        first, last = defaults.chunk(2, dim=1)
        middle = (first + last) / 2
        boxes = torch.cat([middle - distances[..., :2], middle + distances[..., 2:]], dim=2)
        return joined(boxes, torch.cat(logits, dim=1), defaults)


def _separable(stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(_CHANNELS, _CHANNELS, 3, stride, padding=1, groups=_CHANNELS, bias=False),
        nn.Conv2d(_CHANNELS, _CHANNELS, 1),
    )


def _tower() -> nn.Sequential:
    return nn.Sequential(
        *(
            layer
            for _ in range(_LAYERS)
            for layer in (_separable(), nn.GroupNorm(_GROUPS, _CHANNELS), nn.ReLU())
        )
    )


def _start(layers: nn.Module) -> None:
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            nn.init.normal_(layer.weight, std=0.01)  # torchvision's
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
