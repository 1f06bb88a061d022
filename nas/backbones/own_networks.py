"""The networks that no library keeps, written here, most of them from their papers."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from nas.backbones import (
    emov2,
    hbonet,
    mobilenetv2_cifar,
    mobilenext,
    mobilevig,
    snet,
    tiny_moat,
)
from nas.base.errors import SpecError

__all__ = ["EARLIER_NAMES", "NETWORKS", "create", "exists", "has_width", "names"]

NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    **mobilenext.NETWORKS,
    **hbonet.NETWORKS,
    **snet.NETWORKS,
    **mobilevig.NETWORKS,
    **emov2.NETWORKS,
    **tiny_moat.NETWORKS,
    **mobilenetv2_cifar.NETWORKS,
}
"""Name -> (number of classes, how many times its channels) -> network."""

EARLIER_NAMES = {"benchmarks.small_mobilenet:small_mobilenet": "mobilenetv2_cifar"}
"""Names in files of earlier versions -> names of today.

An architecture keeps the name that it was written with, since its digest is of its text.
"""


def names() -> list[str]:
    """List the names of today."""
    return list(NETWORKS)


def exists(name: str) -> bool:
    """Say whether a network has this name, or had it in an earlier version."""
    return EARLIER_NAMES.get(name, name) in NETWORKS


def has_width(name: str) -> bool:
    """Say whether the network can be made wider: all of them can."""
    return exists(name)


def create(name: str, num_classes: int, pretrained: bool, width: float = 1.0) -> nn.Module:
    """Make a network with random weights.

    width: how many times the channels that it has, rounded as its authors round them.
    Raises SpecError when pretrained weights are wanted.
    """
    today = EARLIER_NAMES.get(name, name)
    if pretrained:
        reason = "its authors publish only pickled files, which are never loaded"
        if today in mobilenetv2_cifar.NETWORKS:
            reason = "nobody has published any"
        if today in tiny_moat.NETWORKS:
            reason = "its authors publish only TensorFlow's checkpoints, which are not read here"
        raise SpecError(f"no pretrained weights for {name!r}: {reason}; use weights: train")
    return NETWORKS[today](num_classes, width)
