"""Strides that are taken away: from the first layers, for small images, or from the last.

The total stride is that of the whole network: its first strided layers lose theirs, so that small
images keep a map. The output stride dilates the end, as segmentation does: its last strided layers
lose theirs, and the convolutions behind them reach as far on the finer map as they did before
(atrous convolution, arXiv:1706.05587, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nas.base.errors import SpecError

__all__ = ["TRACED_SIDE", "Dilation", "layers_to_dilate", "layers_to_unstride", "unstride"]

TRACED_SIDE = 256
"""The side of the square image by which strides are found, of whatever shape others are."""


@dataclass(frozen=True, slots=True)
class Dilation:
    """The changes that give a network an output stride of its own.

    unstrided: paths of the layers whose stride becomes 1.
    factors: path of a layer behind them -> how many times as far as before it reaches.
    """

    unstrided: tuple[str, ...] = ()
    factors: tuple[tuple[str, int], ...] = ()

    def apply(self, network: nn.Module) -> None:
        """Dilate the end of a network, in place; its weights stay as they are."""
        unstride(network, self.unstrided)
        for path, factor in self.factors:
            layer: Any = network.get_submodule(path)
            layer.dilation = _times(layer.dilation, factor)
            if not isinstance(layer.padding, str):
                layer.padding = _times(layer.padding, factor)
            if hasattr(layer, "_reversed_padding_repeated_twice"):  # of other modes than zeros
                layer._reversed_padding_repeated_twice = [
                    factor * side for side in layer._reversed_padding_repeated_twice
                ]


def layers_to_unstride(network: nn.Module, total_stride: int, name: str) -> tuple[str, ...]:
    """Return the paths of the layers whose stride becomes 1, from the stem on.

    Layers that read maps of one size reduce together: parallel branches count once.

    name: of the backbone in errors.
    Raises SpecError when the backbone's own total stride is smaller.
    """
    levels = _levels(network)
    own = 2 ** len(levels)
    if total_stride > own:
        raise SpecError(
            f"backbone {name!r}: total_stride {total_stride}; at most its own, {own}, is allowed; "
            "change it in the space"
        )
    surplus = own // total_stride
    sizes = sorted(levels, reverse=True)[: surplus.bit_length() - 1]
    return tuple(path for size in sizes for path in levels[size])


def layers_to_dilate(network: nn.Module, output_stride: int, name: str) -> Dilation:
    """Return what gives a network this output stride, from its end on.

    A layer that loses its stride reaches as far as before: what it gives holds what it gave.
    network: changed by this.
    name: of the backbone in errors.
    Raises SpecError when the backbone's stride is smaller, or something cannot be dilated.
    """
    levels, before = _levels(network), _sizes_read(network)
    own = 2 ** len(levels)
    if output_stride > own:
        raise SpecError(
            f"backbone {name!r}: output_stride {output_stride}; at most {own}, which its strided "
            "convolutions make, is allowed; change it in the space"
        )
    surplus = own // output_stride
    smallest = sorted(levels)[: surplus.bit_length() - 1][::-1]
    dilation = Dilation(tuple(path for size in smallest for path in levels[size]))
    dilation.apply(network)
    undilated = f"backbone {name!r}: its end cannot be dilated to output_stride {output_stride}"
    try:
        after = _sizes_read(network)
    except RuntimeError:  # a shortcut that is made smaller by something else, such as a pooling
        raise SpecError(
            f"{undilated}: a pooling, or a convolution of even size, makes its maps smaller"
        ) from None
    factors = []
    for path, size in before.items():
        layer = network.get_submodule(path)
        if after[path] % size:
            raise SpecError(f"{undilated}: a convolution of even size makes the maps of {path}")
        if after[path] > size and _reaches_around(layer):
            factors.append((path, after[path] // size))
    return Dilation(dilation.unstrided, tuple(factors))


def unstride(network: nn.Module, paths: tuple[str, ...]) -> None:
    """Give the layers at these paths a stride of 1, in place."""
    for path in paths:
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Conv2d | nn.MaxPool2d)
        layer.stride = (1, 1)


def _levels(network: nn.Module) -> dict[int, list[str]]:
    """Return side of a map -> paths of the layers that make it smaller by a stride."""
    levels: dict[int, list[str]] = {}

    def note(path: str, read: Tensor, gave: Tensor) -> None:
        if gave.shape[-1] < read.shape[-1]:
            levels.setdefault(read.shape[-1], []).append(path)

    _watch(network, _can_unstride, note)
    return levels


def _sizes_read(network: nn.Module) -> dict[str, int]:
    """Return path of a convolution or pooling -> side of the map that it reads."""
    sizes: dict[str, int] = {}

    def note(path: str, read: Tensor, _gave: Tensor) -> None:
        sizes.setdefault(path, read.shape[-1])

    _watch(network, lambda module: isinstance(module, nn.Conv2d | nn.MaxPool2d), note)
    return sizes


def _watch(
    network: nn.Module,
    chosen: Callable[[nn.Module], bool],
    note: Callable[[str, Tensor, Tensor], None],
) -> None:
    """Send an image through a network, and tell what chosen layers read and give."""

    def noting(path: str) -> Any:
        return lambda _module, inputs, output: note(path, inputs[0], output)

    handles = [
        module.register_forward_hook(noting(path))
        for path, module in network.named_modules()
        if chosen(module)
    ]
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, TRACED_SIDE, TRACED_SIDE))
    finally:
        for handle in handles:
            handle.remove()


def _can_unstride(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return max(module.stride) > 1
    # A pooling that keeps the map once its stride is gone, as ShuffleNet's 3x3.
    return isinstance(module, nn.MaxPool2d) and (module.kernel_size, module.padding) == (3, 1)


def _reaches_around(module: nn.Module) -> bool:
    """Say whether a layer reads more than one position for each that it gives."""
    kernel: Any = module.kernel_size
    return kernel not in (1, (1, 1))


def _times(value: Any, factor: int) -> Any:
    return tuple(factor * one for one in value) if isinstance(value, tuple) else factor * value
