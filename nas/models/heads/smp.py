"""The one door to segmentation-models-pytorch, which is optional."""

from __future__ import annotations

from typing import Any

from nas.base.optional_package import import_optional

__all__ = ["decoder"]


def decoder(name: str, head: str) -> Any:
    """Return the module of a decoder of segmentation-models-pytorch.

    head: that needs it, for the error.
    Raises SpecError where the package is not installed.
    """
    return import_optional(
        f"segmentation_models_pytorch.decoders.{name}.decoder",
        "__name__",
        "segmentation",
        f"head {head!r} (lraspp and fpn do not) needs the package segmentation-models-pytorch",
    )
