"""A user's own network, as `module:function`: called with num_classes=, it returns the network.

Naming one runs its code, as importing it would: read a space file from elsewhere before.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from nas.errors import SpecError

__all__ = ["create", "exists", "names"]


def names() -> list[str]:
    return []


def exists(name: str) -> bool:
    """Whether it is one of these; raises SpecError when it is and cannot be had."""
    if ":" not in name:
        return False
    _function(name)
    return True


def create(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    if pretrained:
        raise SpecError(
            "the weights of one's own network are not known here; use proxy.backbone.weights=train"
        )
    function = _function(name)
    try:
        network = function(num_classes=num_classes)
    except TypeError as error:
        raise SpecError(f"backbone {name!r}: called with num_classes=: {error}") from None
    if not isinstance(network, nn.Module):
        found = type(network).__name__
        raise SpecError(f"backbone {name!r} returned {found}; a torch.nn.Module is allowed")
    return network


def _function(name: str) -> Callable[..., object]:
    module, _, function = name.partition(":")
    parts = module.split(".")
    if not all(part.isidentifier() for part in [*parts, function]):
        raise SpecError(f"backbone {name!r}; write one's own as package.module:function")
    try:
        with _here_importable():
            found = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        raise SpecError(f"backbone {name!r}: {error}; looked in {os.getcwd()} as well") from None
    if not callable(found):
        raise SpecError(f"backbone {name!r}: {module} has no function {function!r}")
    maker: Callable[..., object] = found
    return maker


@contextmanager
def _here_importable() -> Iterator[None]:
    """An installed command does not look in the working directory; `python -m` does."""
    sys.path.append(os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())
