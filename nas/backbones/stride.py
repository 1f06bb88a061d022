"""The total stride: first strided layers lose their stride, so that small images keep a map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.base.errors import SpecError

__all__ = ["TRACED_SIDE", "layers_to_unstride", "unstride"]

TRACED_SIDE = 256
"""The side of the square image by which strides are found, of whatever shape others are."""


def layers_to_unstride(network: nn.Module, total_stride: int, name: str) -> tuple[str, ...]:
    """Return the paths of the layers whose stride becomes 1, from the stem on.

    Layers that read maps of one size reduce together: parallel branches count once.

    name: of the backbone in errors.
    Raises SpecError when the backbone's own total stride is smaller.
    """
    levels: dict[int, list[str]] = {}

    def note(path: str) -> object:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if output.shape[-1] < inputs[0].shape[-1]:
                levels.setdefault(inputs[0].shape[-1], []).append(path)

        return hook

    handles = [
        module.register_forward_hook(note(path))
        for path, module in network.named_modules()
        if _can_unstride(module)
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, TRACED_SIDE, TRACED_SIDE))
    for handle in handles:
        handle.remove()
    own = 2 ** len(levels)
    if total_stride > own:
        raise SpecError(
            f"backbone {name!r}: total_stride {total_stride}; at most its own, {own}, is allowed; "
            "change it in the space"
        )
    surplus = own // total_stride
    sizes = sorted(levels, reverse=True)[: surplus.bit_length() - 1]
    return tuple(path for size in sizes for path in levels[size])


def _can_unstride(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return max(module.stride) > 1
    # A pooling that keeps the map once its stride is gone, as ShuffleNet's 3x3.
    return isinstance(module, nn.MaxPool2d) and (module.kernel_size, module.padding) == (3, 1)


def unstride(network: nn.Module, paths: tuple[str, ...]) -> None:
    """Give the layers at these paths a stride of 1, in place."""
    for path in paths:
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Conv2d | nn.MaxPool2d)
        layer.stride = (1, 1)
