"""Backbones: the networks that blocks are inserted into, by name.

A bare name is timm's (`mobilenetv2_100`); `torchvision/mobilenet_v2` is torchvision's.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from types import ModuleType

import torch
from torch import nn

from nas.backbones import timm_networks, torchvision_networks
from nas.backbones.slot import Site, Slot, trace_sites
from nas.backbones.stride import layers_to_unstride, unstride
from nas.errors import SpecError

__all__ = ["FAMILIES", "Site", "Slot", "check_backbone", "find_sites", "plain_network"]

FAMILIES: dict[str, ModuleType] = {"": timm_networks, "torchvision/": torchvision_networks}
"""Prefix of a name -> who makes it. A family has create, exists, names and slots."""


def _family(backbone: str) -> tuple[ModuleType, str]:
    prefix = max((known for known in FAMILIES if backbone.startswith(known)), key=len)
    family, name = FAMILIES[prefix], backbone.removeprefix(prefix)
    if not family.exists(name):
        known = [start + item for start, family in FAMILIES.items() for item in family.names()]
        near = difflib.get_close_matches(backbone, known, n=3) or ["mobilenetv2_100"]
        raise SpecError(
            f"unknown backbone {backbone!r}; a timm model with slots or torchvision/mobilenet_v2 "
            f"is allowed, such as: {', '.join(near)}"
        )
    return family, name


def check_backbone(backbone: str) -> None:
    """Raises SpecError when there is no such backbone."""
    _family(backbone)


def plain_network(
    backbone: str,
    *,
    num_classes: int = 1000,
    total_stride: int | None = None,
    pretrained: bool = False,
    seed: int = 0,
) -> nn.Module:
    """The backbone as it comes, in evaluation mode; `seed` sets its random weights.

    Raises SpecError: unknown name, weights that cannot be had.
    """
    family, name = _family(backbone)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: nn.Module = family.create(name, num_classes, pretrained)
    except Exception as error:
        # Every library reports an unreachable hub in its own way; without pretrained weights
        # nothing of the kind can happen, and a fault is ours.
        if not pretrained:
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpecError(
            f"no pretrained weights for {backbone!r} ({reason}); with a network they are "
            "downloaded, without one use proxy.backbone.weights=train"
        ) from None
    if total_stride is not None:
        unstride(network, _unstrided(backbone, total_stride))
    return network.eval()


@lru_cache(maxsize=64)
def _unstrided(backbone: str, total_stride: int) -> tuple[str, ...]:
    family, name = _family(backbone)
    return layers_to_unstride(family.create(name, 10, False), total_stride, backbone)


@lru_cache(maxsize=64)
def find_sites(
    backbone: str, resolution: int = 224, total_stride: int | None = None
) -> tuple[Site, ...]:
    """Every site of a backbone with the map that passes it, in the order of the forward pass.

    Raises SpecError: no site at all, or images too small for the network.
    """
    family, _ = _family(backbone)
    network = plain_network(backbone, num_classes=10, total_stride=total_stride)
    slots = family.slots(network)
    if not slots:
        raise SpecError(
            f"backbone {backbone!r} ({type(network).__name__}) has no site: none of its blocks "
            "holds a slot behind a depthwise convolution"
        )
    try:
        return trace_sites(network, slots, resolution)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(
            f"backbone {backbone!r} cannot read {resolution}x{resolution} images: {reason}"
        ) from None
