"""The networks of timm, by their bare names."""

from __future__ import annotations

import huggingface_hub
import timm
from torch import nn

from nas.base.errors import SpecError

__all__ = ["create", "exists", "names"]


_WEIGHTS = "model.safetensors"
_PATIENCE_S = 5.0


def names() -> list[str]:
    """List the names of timm's networks."""
    return list(timm.list_models())


def exists(name: str) -> bool:
    """Say whether timm has a network `name`, or `name.tag` with these pretrained weights."""
    if not timm.is_model(name) or name != name.strip():
        return False
    return "." not in name or name in timm.list_pretrained()


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    """Make a network, with an Identity where a slot for attention is empty.

    Raises SpecError when pretrained weights cannot be had.
    """
    network: nn.Module = timm.create_model(
        name,
        num_classes=num_classes,
        pretrained=pretrained,
        pretrained_cfg_overlay={"file": _weights(name)} if pretrained else None,
    )
    for module in network.modules():
        # GhostNet and RexNet hold None in an empty slot; an Identity can be seen and replaced.
        if "se" in vars(module) and module.se is None:
            module.se = nn.Identity()
    return network


def _weights(name: str) -> str:
    """Return the path of weights in the hub's cache, downloaded if they are not there yet."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise SpecError(f"timm has no pretrained weights for {name!r}; use weights: train")
    cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, _WEIGHTS)
    if isinstance(cached, str):
        return cached
    hub = huggingface_hub.constants.ENDPOINT
    try:
        # Offline, the hub's client tries again for most of a minute; so one short question first.
        huggingface_hub.get_session().head(hub, timeout=_PATIENCE_S)
    except Exception as error:
        raise SpecError(
            f"no pretrained weights for {name!r}: they are not in the cache and {hub} cannot be "
            f"reached ({error}); connect, or use proxy.backbone.weights=train"
        ) from None
    path: str = huggingface_hub.hf_hub_download(config.hf_hub_id, _WEIGHTS)
    return path
