"""The check that a network gives one tensor of scores: it is searched as a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.base.size import Resolution, Size

__all__ = ["find_fault"]

_IMAGES = 2


def find_fault(network: nn.Module, resolution: Resolution, num_classes: int) -> str | None:
    """Return what a network gives in place of scores (N, num_classes); None where it gives them.

    Asked on torch's meta device, to which the network is moved: no arithmetic, no memory.
    """
    with torch.no_grad():
        given = network.to("meta").eval()(
            torch.zeros(_IMAGES, *Size.of(resolution).shape, device="meta")
        )
    if isinstance(given, Tensor) and given.shape == (_IMAGES, num_classes):
        return None
    output = f"a tensor {_shape(given)}" if isinstance(given, Tensor) else _describe(given)
    return f"{output} for {_IMAGES} images and {num_classes} classes"


def _describe(given: object) -> str:
    if isinstance(given, dict):
        return f"a {type(given).__name__} of {', '.join(map(repr, given))}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {len(given)}"
    return f"a {type(given).__name__}"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "without dimensions"
