"""The one door to segmentation-models-pytorch, which is optional."""

# The package has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import importlib
from typing import Any

from nas.base.errors import SpecError

__all__ = ["decoder"]


def decoder(name: str, head: str) -> Any:
    """Return the module of a decoder of segmentation-models-pytorch.

    head: that needs it, for the error.
    Raises SpecError where the package is not installed.
    """
    try:
        return importlib.import_module(f"segmentation_models_pytorch.decoders.{name}.decoder")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "segmentation_models_pytorch":
            raise
        raise SpecError(
            f"head {head!r} needs segmentation-models-pytorch: pip install "
            '"attention-nas[segmentation]"; lraspp and fpn need nothing more'
        ) from None
