"""The networks that no library keeps, written here from their papers."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from nas.backbones import hbonet, mobilenext, snet
from nas.base.errors import SpecError

__all__ = ["NETWORKS", "create", "exists", "names"]

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    **mobilenext.NETWORKS,
    **hbonet.NETWORKS,
    **snet.NETWORKS,
}


def names() -> list[str]:
    return list(NETWORKS)


def exists(name: str) -> bool:
    return name in NETWORKS


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    """Raises SpecError when pretrained weights are asked for."""
    if pretrained:
        raise SpecError(
            f"no pretrained weights for {name!r}: its authors publish only pickled files, "
            "which are never loaded; use weights: train"
        )
    return NETWORKS[name](num_classes)
