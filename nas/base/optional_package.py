"""The one door to packages that are optional: what they are for, and what installs them."""

from __future__ import annotations

import importlib
from typing import Any

from nas.base.errors import SpecError

__all__ = ["import_optional", "install"]


def install(extra: str) -> str:
    """Return the command that installs an extra of this package."""
    return f'pip install "attention-nas[{extra}]"'


def import_optional(name: str, has: str, extra: str, purpose: str) -> Any:
    """Return a module of an optional package. It is imported now.

    has: what is in it; a folder of its name beside a user's script imports as well.
    extra: that installs it.
    purpose: the beginning of a sentence that ends in the package:
        `hf: data are read by the package datasets`.
    Raises SpecError in one line where it is not here, or does not work.
    """
    try:
        importlib.import_module(name.partition(".")[0])  # which may be gone, and parts of it loaded
        module = importlib.import_module(name)
        getattr(module, has)
    except (ImportError, AttributeError) as error:
        missing = getattr(error, "name", None) or name
        if isinstance(error, AttributeError) or missing.partition(".")[0] == name.partition(".")[0]:
            raise SpecError(f"{purpose}, which is not here; {install(extra)}") from None
        raise SpecError(
            f"{purpose}, which cannot be imported ({' '.join(str(error).split())}); "
            f"{install(extra)}"
        ) from None
    return module
