"""Heads: what stands around a backbone for a task, one file each.

A head reads maps of the backbone, from the finest to the coarsest, and gives the scores of pixels,
or boxes with scores; `embedding` alone reads what the backbone itself gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import nn

from nas.backbones import FeatureMap
from nas.models.heads.deeplabv3 import DeepLabV3
from nas.models.heads.embedding import Embedding
from nas.models.heads.fcos import FCOS
from nas.models.heads.fpn import FPN
from nas.models.heads.lraspp import LRASPP
from nas.models.heads.ssdlite import SSDLite
from nas.models.heads.unet import UNet

__all__ = ["HEADS", "Embedding", "MapHead", "SSDLite"]


class MapHead(Protocol):
    """A kind of head that reads feature maps, for segmentation or detection.

    Its modules take a list of maps and the size (height, width) of the images, and return scores
    (N, classes, height, width) of the pixels, or what `default_boxes` says of boxes.
    """

    @property
    def neck(self) -> tuple[str, ...]:
        """Paths in it of the modules that join maps of several sizes, or make smaller ones."""

    def __call__(self, maps: Sequence[FeatureMap], classes: int) -> nn.Module:
        """Make the head with random weights, for the maps that it reads."""

    def read(self, maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose what it reads, of all maps from the finest to the coarsest; none: too few."""


HEADS: Mapping[str, MapHead] = {
    "deeplabv3": DeepLabV3,
    "lraspp": LRASPP,
    "unet": UNet,
    "fpn": FPN,
    "ssdlite": SSDLite,
    "fcos": FCOS,
}
