"""A user's own network, as `module:function`: called with num_classes=, it returns the network.

Naming one runs its code, as importing it would: read a space file from elsewhere before.
"""

from __future__ import annotations

from torch import nn

from nas.base.errors import SpecError
from nas.base.user_code import user_function

__all__ = ["create", "exists", "names"]


def names() -> list[str]:
    """List no names: those of a user's own networks are not known."""
    return []


def exists(name: str) -> bool:
    """Say whether a name is of a user's own network.

    Raises SpecError when it is and the function cannot be had.
    """
    if ":" not in name:
        return False
    user_function(name, "backbone")
    return True


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    """Call the user's function for a network.

    Raises SpecError when it fails, or when pretrained weights are wanted.
    """
    if pretrained:
        raise SpecError(
            "the weights of one's own network are not known here; use proxy.backbone.weights=train"
        )
    function = user_function(name, "backbone")
    try:
        network = function(num_classes=num_classes)
    except TypeError as error:
        raise SpecError(f"backbone {name!r}: called with num_classes=: {error}") from None
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise SpecError(f"backbone {name!r} returned {kind}; a torch.nn.Module is allowed")
    return network
