"""The layer that gives a network's scores, and another in its place for vectors of a length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.base.errors import SpecError

__all__ = ["give_outputs"]


def give_outputs(
    network: nn.Module, shape: tuple[int, int, int], outputs: int, backbone: str
) -> None:
    """Let a network give (N, outputs), in place, by a random last layer where it gave others.

    shape: of an image.
    backbone: its name, for the error.
    Raises SpecError where it gives others and no linear layer or convolution gives them.
    """
    ran: list[nn.Module] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in layers]
    try:
        with torch.no_grad():
            given = network(torch.zeros(1, *shape))
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(given, Tensor) or given.ndim != 2 or given.shape[1] == outputs:
        return  # what is no scores at all, whoever trains it says
    other = _of_outputs(ran[-1], given.shape[1], outputs) if ran else None
    if other is None:
        raise SpecError(
            f"backbone {backbone!r} gives {given.shape[1]} numbers for an image where {outputs} "
            f"are needed, and not by a linear layer or a convolution at its end that could be "
            f"replaced; let it give {outputs}"
        )
    path = next(path for path, module in network.named_modules() if module is ran[-1])
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, other)


def _of_outputs(layer: nn.Module, had: int, outputs: int) -> nn.Module | None:
    """Return a random layer like one that has so many outputs; None where it has others."""
    if isinstance(layer, nn.Linear) and layer.out_features == had:
        return nn.Linear(layer.in_features, outputs, layer.bias is not None)
    if isinstance(layer, nn.Conv2d) and layer.out_channels == had and layer.groups == 1:
        size = layer.kernel_size
        return nn.Conv2d(
            layer.in_channels, outputs, (size[0], size[1]), bias=layer.bias is not None
        )
    return None
