"""Any timm network whose blocks hold a slot `se`, exactly after the depthwise convolution."""

from __future__ import annotations

import timm
from torch import nn

from nas.backbones.slot import Slot

__all__ = ["create", "exists", "names", "slots"]


def names() -> list[str]:
    return list(timm.list_models())


def exists(name: str) -> bool:
    """`name`, or `name.tag` for one of several sets of pretrained weights."""
    if not timm.is_model(name) or name != name.strip():
        return False
    return "." not in name or name in timm.list_pretrained()


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    network: nn.Module = timm.create_model(name, num_classes=num_classes, pretrained=pretrained)
    for module in network.modules():
        # GhostNet and RexNet hold None in an empty slot; an Identity can be traced.
        if "se" in vars(module) and module.se is None:
            module.se = nn.Identity()
    return network


def slots(network: nn.Module) -> tuple[Slot, ...]:
    found = []
    for path, module in network.named_modules():
        slot = dict(module.named_children()).get("se")
        if slot is None or not _mobile(module):
            continue
        # The layer behind the slot; where a block has another one, factors are not folded.
        follower = next(
            (name for name in ("conv_pwl", "conv_pw") if _follows(module, name, "se")), None
        )
        found.append(
            Slot(
                host=path,
                position="after_depthwise",
                holder=path,
                child="se",
                stage=path.rpartition(".")[0],
                filled=not isinstance(slot, nn.Identity),
                follower=f"{path}.{follower}" if follower else None,
            )
        )
    return tuple(found)


def _mobile(block: nn.Module) -> bool:
    """ResNets hold a slot `se` as well, behind an ordinary convolution: another position.
    EdgeResidual fuses its depthwise convolution with the expansion, and counts.
    """
    return type(block).__name__ == "EdgeResidual" or any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
        for layer in block.modules()
    )


def _follows(module: nn.Module, layer: str, slot: str) -> bool:
    """Both timm block types that qualify register their layers in the order of use."""
    if type(module).__name__ not in {"InvertedResidual", "DepthwiseSeparableConv"}:
        return False
    children = dict(module.named_children())
    order = list(children)
    # MixNet has a set of convolutions there.
    if not isinstance(children.get(layer), nn.Conv2d):
        return False
    return order.index(layer) == order.index(slot) + 1
