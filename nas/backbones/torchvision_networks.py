"""torchvision's MobileNetV2: a slot behind the depthwise item of each inverted residual."""

from __future__ import annotations

import torchvision
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual

from nas.backbones.slot import Slot

__all__ = ["create", "exists", "names", "slots"]

_NAMES = ("mobilenet_v2",)


def names() -> list[str]:
    return list(_NAMES)


def exists(name: str) -> bool:
    return name in _NAMES


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    weights = "DEFAULT" if pretrained else None
    network: nn.Module = torchvision.models.get_model(name, weights=weights)
    classifier = network.classifier
    assert isinstance(classifier, nn.Sequential)
    last = classifier[-1]
    assert isinstance(last, nn.Linear)
    if last.out_features != num_classes:
        classifier[-1] = nn.Linear(last.in_features, num_classes)
    return network


def slots(network: nn.Module) -> tuple[Slot, ...]:
    """A block is appended to the Sequential (convolution, norm, activation), which leaves
    the names of all other weights as they are.
    """
    found = []
    for path, module in network.named_modules():
        if not isinstance(module, InvertedResidual):
            continue
        depthwise = len(module.conv) - 3  # then: projection, its norm
        found.append(
            Slot(
                host=path,
                position="after_depthwise",
                holder=f"{path}.conv.{depthwise}",
                child="attention",
                follower=f"{path}.conv.{depthwise + 1}",
            )
        )
    return tuple(found)
