"""A user's own code, named as `package.module:function`.

Naming one runs its module, as importing it would.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from nas.base.errors import SpecError

__all__ = ["is_function", "user_function"]


def is_function(name: str) -> bool:
    """Say whether a name is written as `package.module:function`."""
    module, colon, function = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), function])


def user_function(name: str, what: str) -> Callable[..., object]:
    """Return the function of this name.

    what: what it is for, in errors: `backbone`.
    Raises SpecError when the name, its module or the function is wrong.
    """
    if not is_function(name):
        raise SpecError(f"{what} {name!r}; write one's own as package.module:function")
    module, _, function = name.partition(":")
    try:
        with _working_directory_importable():
            maker = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        raise SpecError(f"{what} {name!r}: {error}; looked in {os.getcwd()} as well") from None
    if not callable(maker):
        raise SpecError(f"{what} {name!r}: {module} has no function {function!r}")
    return cast(Callable[..., object], maker)


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Look for modules in the working directory too, as `python -m` does by itself."""
    sys.path.append(os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())
