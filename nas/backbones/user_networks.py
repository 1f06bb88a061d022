"""A user's own network, as `module:name` or `path/to/file.py:name`, a function or a class.

Called with num_classes=, and with the arguments in its name (`nets:tiny(width=0.5)`), it returns
the network. Where it takes `width`, `width_mult` or `channel_multiplier` as well, with a number as
its default, the network has a width.
Naming one runs its code, as importing it would: read a space file from elsewhere before.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from nas.backbones.own_module import taken_in
from nas.base.errors import SpecError
from nas.base.own_name import OwnName
from nas.base.user_code import call_user_function, user_function

__all__ = ["create", "exists", "has_width", "names"]

_LONGEST_DETAIL = 200
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
    made = user_function(name, "backbone")
    own = OwnName.parse(name)
    assert own is not None
    if isinstance(made, nn.Module):
        raise SpecError(
            f"backbone {name!r}: {own.name} is a network; name a function or a class that makes "
            "one, or give the network itself in Python: nas.search(space, backbone=network)"
        )
    if "num_classes" in dict(own.arguments):
        raise SpecError(f"backbone {name!r}: num_classes is the data's; leave it out")
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
    wider = {} if width == 1 else _width(name, width)
    try:
        network = call_user_function(name, "backbone", num_classes=num_classes, **wider)
    except SpecError as error:
        _, found, details = str(error.__cause__).partition("loading state_dict for ")
        if not found:
            raise
        # Sites are looked for with another number of classes than the images have.
        detail = " ".join(details.split())[:_LONGEST_DETAIL]
        raise SpecError(
            f"backbone {name!r} loads weights that do not fit a head of {num_classes} classes "
            f"({detail}); let it make the network alone, and give their file with --weights"
        ) from None
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise SpecError(f"backbone {name!r} returned {kind}; a torch.nn.Module is allowed")
    return taken_in(network, name)


def _width(name: str, factor: float) -> dict[str, Any]:
    """Return the argument that makes a network so many times as wide; none where none is taken."""
    try:
        parameters = inspect.signature(user_function(name, "backbone")).parameters
    except (TypeError, ValueError):  # something callable that does not say what it takes
        return {}
    own = OwnName.parse(name)
    given = dict(own.arguments) if own else {}
    for known in _WIDTHS:
        default = parameters[known].default if known in parameters else None
        usual = given.get(known, default)
        if isinstance(usual, int | float) and not isinstance(usual, bool) and usual > 0:
            return {known: factor * usual}
    return {}
