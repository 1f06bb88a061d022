"""The convolutional networks of torchvision, as `torchvision/NAME`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torchvision
from torch import nn

from nas.base.errors import SpecError

__all__ = ["create", "exists", "has_width", "names"]

_PREFIX = "torchvision/"
_FAMILIES = (
    *("alexnet", "convnext", "densenet", "efficientnet", "mnasnet", "mobilenet_v2", "mobilenet_v3"),
    *("regnet", "resnet", "resnext", "shufflenet_v2", "vgg", "wide_resnet"),
)
"""Those with one tensor of scores, by a linear layer at the end, from images of any size."""


def _mnasnet(own: float) -> Callable[[float], nn.Module]:
    return lambda width: torchvision.models.MNASNet(own * width)


def _mobilenet(name: str) -> Callable[[float], nn.Module]:
    return lambda width: torchvision.models.get_model(name, weights=None, width_mult=width)


_WIDER: dict[str, Callable[[float], nn.Module]] = {
    "mnasnet0_5": _mnasnet(0.5),
    "mnasnet0_75": _mnasnet(0.75),
    "mnasnet1_0": _mnasnet(1.0),
    "mnasnet1_3": _mnasnet(1.3),
    "mobilenet_v2": _mobilenet("mobilenet_v2"),
    "mobilenet_v3_large": _mobilenet("mobilenet_v3_large"),
    "mobilenet_v3_small": _mobilenet("mobilenet_v3_small"),
}
"""Name -> how many times its channels -> network. The others' builders take no width."""


def names() -> list[str]:
    """List the names of torchvision's convolutional networks."""
    known = torchvision.models.list_models(module=torchvision.models)
    return [_PREFIX + name for name in known if name.startswith(_FAMILIES)]


def exists(name: str) -> bool:
    """Say whether torchvision has a convolutional network of this name."""
    return name in names()


def has_width(name: str) -> bool:
    """Say whether the network's builder takes a width."""
    return name.removeprefix(_PREFIX) in _WIDER


def create(name: str, num_classes: int, pretrained: bool, width: float = 1.0) -> nn.Module:
    """Make a network with random weights.

    width: how many times the channels that it has.
    Raises SpecError when pretrained weights are wanted.
    """
    if pretrained:
        raise SpecError(
            f"no pretrained weights for {name!r}: torchvision publishes pickled files only, which "
            "are never loaded; take the network of timm, or use proxy.backbone.weights=train"
        )
    known = name.removeprefix(_PREFIX)
    plain = partial(torchvision.models.get_model, known, weights=None)
    network: nn.Module = plain() if width == 1 else _WIDER[known](width)
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
