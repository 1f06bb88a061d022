"""The mobile networks of torchvision, as `torchvision/NAME`."""

from __future__ import annotations

import torchvision
from torch import nn

from nas.base.errors import SpecError

__all__ = ["create", "exists", "names"]

_PREFIX = "torchvision/"
_FAMILIES = ("efficientnet", "mnasnet", "mobilenet_v2", "mobilenet_v3", "shufflenet_v2")


def names() -> list[str]:
    """List the names of torchvision's mobile networks."""
    known = torchvision.models.list_models(module=torchvision.models)
    return [_PREFIX + name for name in known if name.startswith(_FAMILIES)]


def exists(name: str) -> bool:
    """Say whether torchvision has a mobile network of this name."""
    return name in names()


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    """Make a network with random weights.

    Raises SpecError when pretrained weights are wanted.
    """
    if pretrained:
        raise SpecError(
            f"no pretrained weights for {name!r}: torchvision publishes pickled files only, which "
            "are never loaded; take the network of timm, or use proxy.backbone.weights=train"
        )
    network: nn.Module = torchvision.models.get_model(name.removeprefix(_PREFIX), weights=None)
    head = _head(network)
    last = network.get_submodule(head)
    assert isinstance(last, nn.Linear)
    if last.out_features != num_classes:
        network.set_submodule(head, nn.Linear(last.in_features, num_classes))
    return network


def _head(network: nn.Module) -> str:
    """Return the path of the classifier: the last linear layer."""
    linear: list[str] = [
        path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)
    ]
    return linear[-1]
