"""The feature maps of a backbone that a head reads, and what is left out behind the last of them.

At each stride that is the output of the last block before the map gets smaller; as with sites,
nothing is known of any network by its name. What is no block is no map: of MobileNetV2 the last one
is that of its last inverted residual, with 320 channels, not that of the 1x1 convolution behind,
with 1280. So MobileNetV2 has it for DeepLabV3 (arXiv:1801.04381, section 6.3: more efficient, as
good), so has DeepLab's own code (its final endpoint is `layer_18`), and so has mmsegmentation;
segmentation-models-pytorch reads the 1280. Of MobileNetV3 DeepLab reads the 1x1 convolution; here
the rule is one for all. Where a head wants a map as wide as the backbone makes it, that is
`FeatureMap.wide`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.backbones.sites.residual_blocks import is_spatial
from nas.backbones.sites.trace import Call, Trace, holds
from nas.backbones.sites.walk import block_paths, end_of_layer
from nas.backbones.stride import TRACED_SIDE
from nas.base.size import Resolution, Size

__all__ = ["FeatureMap", "Maps", "Unread", "maps_of", "read_maps"]

_COARSEST = 64
"""The largest stride of a map; what is smaller is the end of a convolution over a whole map."""


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A map of a backbone.

    path: the module that gives it.
    stride: height of the input / height of the map, as of a large image.
    wide: the same as it is widened behind its block, where it is: what the convolution reads that
        makes it smaller (the 576 channels of MobileNetV2 at stride 16), and of the last map what
        1x1 convolutions make of it (the 1280).
    """

    path: str
    channels: int
    height: int
    width: int
    stride: int
    wide: FeatureMap | None = None

    @property
    def widest(self) -> FeatureMap:
        """The same map, widened where the backbone does that."""
        return self.wide or self


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of a backbone, and the order in which its modules are done.

    all: from the finest to the coarsest.
    calls: path of a module, and the shape of what it gives for one image, in order of completion.
    """

    all: tuple[FeatureMap, ...]
    calls: tuple[tuple[str, tuple[int, ...]], ...]

    def cut(self, network: nn.Module, read: Sequence[FeatureMap]) -> None:
        """Take out of a backbone what runs only behind the last of the maps that are read."""
        for path, shape in self._behind(read):
            network.set_submodule(path, Unread(shape))

    def runs_behind(self, path: str, read: Sequence[FeatureMap]) -> bool:
        """Say whether a module is, or is in, what `cut` takes out."""
        return any(holds(other, path) for other, _ in self._behind(read))

    def _behind(self, read: Sequence[FeatureMap]) -> list[tuple[str, tuple[int, ...]]]:
        """Return the outermost modules behind, with the shapes of what they give."""
        order = [path for path, _ in self.calls]
        last = max(order.index(one.path) for one in read)
        needed = {outer for path in order[: last + 1] for outer in _with_holders(path)}
        behind = {path: shape for path, shape in self.calls[last + 1 :] if path not in needed}
        return [
            (path, shape)
            for path, shape in behind.items()
            if not any(outer in behind for outer in _with_holders(path.rpartition(".")[0]))
        ]


class Unread(nn.Module):
    """A stand-in for a module whose output nothing reads: zeros of its shape.

    So any forward still runs, also one that reshapes to a fixed width; exported graphs drop it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, read: Tensor, *_others: object, **_named: object) -> Tensor:
        """Map (N, ...) to (N, *shape)."""
        return read.new_zeros((read.shape[0], *self.shape))

    def extra_repr(self) -> str:
        """Return what to show."""
        return str(self.shape)


def read_maps(network: nn.Module, images: Tensor, paths: Sequence[str]) -> list[Tensor]:
    """Send images through a backbone, and return what the modules at these paths give.

    With what is attached to them, since these hooks are the last; they are gone afterwards, so
    that copies, exports and traces of the network hold none.
    """
    maps: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(path).register_forward_hook(partial(_keep, maps, path))
        for path in paths
    ]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return [maps[path] for path in paths]


def _keep(
    maps: dict[str, Tensor], path: str, _module: nn.Module, _read: object, gave: Tensor
) -> None:
    maps[path] = gave


def maps_of(made: Callable[[], nn.Module], resolution: Resolution) -> Maps:
    """Find the maps of a network that reads images of a size.

    made: makes the network; several times, as tracing leaves its marks.
    Whatever the network's forward raises is raised.
    """
    trace = _traced(made(), resolution)
    try:
        # Strides of small images cannot be told from their maps: 5 pixels become 3, 2, 1 and 1.
        calls = _found(made(), TRACED_SIDE)
    except (RuntimeError, AssertionError, ValueError):  # it reads images of its own size alone
        calls = _found(made(), resolution)
    sizes = {call.path: call.gave.shape for call in trace.calls}

    def found_map(call: Call, stride: int, wide: Call | None) -> FeatureMap:
        _, channels, height, width = sizes[call.path]
        widened = None if wide is None else found_map(wide, stride, None)
        return FeatureMap(call.path, channels, height, width, stride, widened)

    maps = tuple(found_map(call, stride, wide) for stride, (call, wide) in sorted(calls.items()))
    found_maps = Maps(maps, tuple((call.path, tuple(call.gave.shape[1:])) for call in trace.calls))
    if maps:
        _check_cut(found_maps, made(), resolution)
    return found_maps


def _traced(network: nn.Module, resolution: Resolution) -> Trace:
    trace = Trace.of(network, resolution)
    return trace.where(lambda call: bool(call.path) and call.gave.ndim > 0)


def _check_cut(maps: Maps, network: nn.Module, resolution: Resolution) -> None:
    maps.cut(network, maps.all)
    images = torch.zeros(2, *Size.of(resolution).shape, device="meta")
    with torch.no_grad():
        read_maps(network.to("meta").eval(), images, [one.path for one in maps.all])


def _found(network: nn.Module, resolution: Resolution) -> dict[int, tuple[Call, Call | None]]:
    """Return stride -> the call of a module that gives the last map of that stride.

    With the call that gives the same as it is widened, where there is one.
    """
    height = Size.of(resolution).height
    trace = Trace.of(network, resolution).without_shortcuts()
    found: dict[int, Call] = {}
    for call in sorted(_units(network, trace), key=lambda unit: unit.number):
        if call.gave.ndim == 4:
            stride = 2 ** round(math.log2(height / call.gave.shape[2]))
            if 1 <= stride <= _COARSEST:
                found[stride] = call
    stages = {stride: _stage_of(call, found.values(), trace) for stride, call in found.items()}
    whole = trace.where(lambda call: bool(call.path) and trace.times(call.path) == 1)
    last = max(stages, default=0)
    wide = {
        stride: _projected(call, whole) if stride == last else _widened(call, whole)
        for stride, call in stages.items()
    }
    return {
        stride: (call, more if more and more.gave.shape[1] > call.gave.shape[1] else None)
        for (stride, call), more in zip(stages.items(), wide.values(), strict=True)
    }


def _widened(own: Call, trace: Trace) -> Call | None:
    """Return the call that gives what the next strided convolution reads, if that is another."""
    side = own.gave.shape[2:]
    for call in trace.calls:
        if call.number < own.number or not is_spatial(call.module) or call.read.shape[2:] != side:
            continue
        if call.gave.shape[2:] != side and call.read is not own.gave:
            givers = [
                one for one in trace.calls if one.gave is call.read and one.number > own.number
            ]
            return givers[-1] if givers else None
    return None


def _projected(own: Call, trace: Trace) -> Call | None:
    """Return the end of the 1x1 convolutions behind the last map; None where there are none."""
    end = own
    while (reader := trace.only_reader(end.gave)) is not None:
        if reader.gave.shape[2:] != own.gave.shape[2:]:
            break
        end = end_of_layer(reader, trace)
    return None if end is own else end


def _units(network: nn.Module, trace: Trace) -> Iterator[Call]:
    """Yield the calls of blocks, and of spatial convolutions in none, with norm and activation."""
    blocks = block_paths(network, trace)
    for call in trace.calls:
        if call.path in blocks:
            end = call
        elif not is_spatial(call.module) or any(holds(block, call.path) for block in blocks):
            continue
        elif call.module.stride == call.module.kernel_size:
            continue  # patches of a transformer, which goes on with tokens
        else:
            end = end_of_layer(call, trace)
        if trace.times(end.path) == 1:
            yield end


def _stage_of(call: Call, others: Any, trace: Trace) -> Call:
    """Return the call of the stage around a block, where that makes another map of what it gave.

    So do the stages of CSP networks, which join two branches.
    """
    for outer in _with_holders(call.path.rpartition(".")[0]):
        stage = next((each for each in trace.calls if each.path == outer), None)
        if stage is None or trace.times(outer) > 1:
            break
        if any(other is not call and holds(outer, other.path) for other in others):
            break
        if stage.gave.shape[2:] != call.gave.shape[2:]:
            break
        if stage.gave is not call.gave:
            call = stage
    return call


def _with_holders(path: str) -> Iterator[str]:
    """Yield a path and those of the modules around it, but for the network itself."""
    while path:
        yield path
        path = path.rpartition(".")[0]
