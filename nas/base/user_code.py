"""A user's own code, named as `package.module:function`.

Naming one runs its module, as importing it would.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nas.base.errors import SpecError

__all__ = ["is_function", "user_function"]


def is_function(name: str) -> bool:
    """Whether it is written as one."""
    module, colon, function = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), function])


def user_function(name: str, what: str) -> Callable[..., object]:
    """The function of this name. what: it is for, in errors: `backbone`. Raises SpecError."""
    if not is_function(name):
        raise SpecError(f"{what} {name!r}; write one's own as package.module:function")
    module, _, function = name.partition(":")
    try:
        with _here_importable():
            found = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        raise SpecError(f"{what} {name!r}: {error}; looked in {os.getcwd()} as well") from None
    if not callable(found):
        raise SpecError(f"{what} {name!r}: {module} has no function {function!r}")
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
