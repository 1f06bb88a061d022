"""A user's own network, as `module:function`: called with num_classes=, it returns the network.

Where the function takes `width`, `width_mult` or `channel_multiplier` as well, with a number as its
default, the network has a width.
Naming one runs its code, as importing it would: read a space file from elsewhere before.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from nas.base.errors import SpecError
from nas.base.user_code import user_function

__all__ = ["create", "exists", "has_width", "names"]

_WIDTHS = ("width", "width_mult", "channel_multiplier")


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


def has_width(name: str) -> bool:
    """Say whether the user's function takes a width.

    Raises SpecError when it cannot be had.
    """
    return exists(name) and bool(_width(name, 1.0))


def create(name: str, num_classes: int, pretrained: bool, width: float = 1.0) -> nn.Module:
    """Call the user's function for a network.

    width: how many times the width that it has by default.
    Raises SpecError when it fails, or when pretrained weights are wanted.
    """
    if pretrained:
        raise SpecError(
            "the weights of one's own network are not known here; use proxy.backbone.weights=train"
        )
    function = user_function(name, "backbone")
    wider = {} if width == 1 else _width(name, width)
    try:
        network = function(num_classes=num_classes, **wider)
    except TypeError as error:
        raise SpecError(f"backbone {name!r}: called with num_classes=: {error}") from None
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise SpecError(f"backbone {name!r} returned {kind}; a torch.nn.Module is allowed")
    return network


def _width(name: str, factor: float) -> dict[str, Any]:
    """Return the argument that makes a network so many times as wide; none where none is taken."""
    try:
        parameters = inspect.signature(user_function(name, "backbone")).parameters
    except (TypeError, ValueError):  # something callable that does not say what it takes
        return {}
    for known in _WIDTHS:
        own = parameters[known].default if known in parameters else None
        if isinstance(own, int | float) and not isinstance(own, bool) and own > 0:
            return {known: factor * own}
    return {}
