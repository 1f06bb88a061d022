"""The networks of timm, by their bare names."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
from timm.models import efficientnet, ghostnet, mobilenetv3
from torch import nn

from nas.backbones.hub import hub_file
from nas.base.errors import SpecError

__all__ = ["create", "exists", "has_width", "names", "tagged_names"]

_WEIGHTS = "model.safetensors"

# timm's functions of a name take no width, but those that they call do. They are not part of its
# promise: a test builds every network of this table by them and by its name, and one that a later
# timm no longer has is a network without a width here.
_MAKERS: dict[str, tuple[Any, str]] = {
    r"mobilenetv1_\d+": (efficientnet, "_gen_mobilenet_v1"),
    r"mobilenetv2_\d+": (efficientnet, "_gen_mobilenet_v2"),
    r"mobilenetv3_(large|small)_\d+": (mobilenetv3, "_gen_mobilenet_v3"),
    r"mobilenetv4_conv_(small|medium|large)(_\d+)?": (mobilenetv3, "_gen_mobilenet_v4"),
    r"mnasnet_\d+": (efficientnet, "_gen_mnasnet_b1"),
    r"semnasnet_\d+": (efficientnet, "_gen_mnasnet_a1"),
    r"spnasnet_\d+": (efficientnet, "_gen_spnasnet"),
    r"fbnetc_\d+": (efficientnet, "_gen_fbnetc"),
    r"lcnet_\d+": (mobilenetv3, "_gen_lcnet"),
    r"mixnet_s": (efficientnet, "_gen_mixnet_s"),
    r"mixnet_m": (efficientnet, "_gen_mixnet_m"),
    r"efficientnet_b0": (efficientnet, "_gen_efficientnet"),
    r"ghostnet_\d+": (ghostnet, "_create_ghostnet"),
    r"ghostnetv3_\d+": (ghostnet, "_create_ghostnet"),
}
_MORE: dict[str, dict[str, Any]] = {"ghostnetv3": {"version": "v3"}}
"""Further arguments of the functions that make networks, by the beginning of the name."""


def names() -> list[str]:
    """List the names of timm's networks."""
    return list(timm.list_models())


def tagged_names() -> list[str]:
    """List the networks with pretrained weights, as `mobilenetv2_100.ra_in1k`."""
    return list(timm.list_pretrained())


def exists(name: str) -> bool:
    """Say whether timm has a network `name`, or `name.tag` with these pretrained weights."""
    if not timm.is_model(name) or name != name.strip():
        return False
    return "." not in name or name in timm.list_pretrained()


def has_width(name: str) -> bool:
    """Say whether the network is one of those that timm makes of a width."""
    return _maker(name) is not None


def create(name: str, num_classes: int, pretrained: bool, width: float = 1.0) -> nn.Module:
    """Make a network, with an Identity where a slot for attention is empty.

    width: how many times the channels that it has.
    Raises SpecError when pretrained weights cannot be had.
    """
    if width == 1:
        network: nn.Module = timm.create_model(
            name,
            num_classes=num_classes,
            pretrained=pretrained,
            pretrained_cfg_overlay={"file": _weights(name)} if pretrained else None,
        )
    else:
        maker = _maker(name)
        assert maker is not None, name
        network = maker(width, num_classes)
    for module in network.modules():
        # GhostNet and RexNet hold None in an empty slot; an Identity can be seen and replaced.
        if "se" in vars(module) and module.se is None:
            module.se = nn.Identity()
    return network


def _maker(name: str) -> Callable[[float, int], nn.Module] | None:
    """Return what makes a network of (how many times its channels, number of classes)."""
    for pattern, (module, function) in _MAKERS.items():
        if re.fullmatch(pattern, name) and hasattr(module, function):
            break
    else:
        return None
    digits = re.search(r"_(\d+)$", name)
    own = int(digits[1]) / 100 if digits else 1.0
    begins = name.partition("_")[0]
    make = partial(getattr(module, function), name, pretrained=False, **_MORE.get(begins, {}))
    return lambda width, num_classes: make(own * width, num_classes=num_classes)


def _weights(name: str) -> str:
    """Return the path of weights in the hub's cache, downloaded if they are not there yet."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise SpecError(f"timm has no pretrained weights for {name!r}; use weights: train")
    path = hub_file(
        config.hf_hub_id,
        (_WEIGHTS,),
        subject=f"no pretrained weights for {name!r}",
        instead="connect, or use proxy.backbone.weights=train",
    )
    if path is None:
        raise SpecError(
            f"no pretrained weights for {name!r}: {config.hf_hub_id} has no {_WEIGHTS}; use "
            "weights: train"
        )
    return str(path)
