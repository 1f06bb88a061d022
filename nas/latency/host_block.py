"""The graphs of single residual blocks, by which what an attention block adds is timed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas.backbones import Site
from nas.backbones.own_module import copied
from nas.base.size import Resolution, Size
from nas.blocks import BLOCKS
from nas.spec.architecture import EMPTY, parse_label

__all__ = ["HostBlock", "Shape", "TimedGraph", "input_shapes"]

Shape = tuple[int, int, int]
"""The channels, height and width of a map."""


@dataclass(frozen=True)
class TimedGraph:
    """A graph to be timed.

    key: equal for graphs that take equally long.
    what: for people.
    shape: of one image.
    module: builds what is timed.
    """

    key: str
    what: str
    shape: Shape
    module: Callable[[], nn.Module]


class HostBlock:
    """A residual block of a plain network, by itself, with one of its sites.

    Where its forward reads more than one map, it cannot run by itself: then the module that the
    block is tied to stands for it, or nothing at all.

    network: the plain network.
    inputs: as `input_shapes` returns them.
    """

    def __init__(
        self, network: nn.Module, site: Site, inputs: Mapping[str, tuple[Shape, ...]]
    ) -> None:
        self.site = site
        self.module: nn.Module
        self.shapes: tuple[Shape, ...]
        slot = site.slot
        inside = f"{slot.module}.".startswith(f"{slot.host}.")
        # In a flat network the block stands before a layer of the next module.
        path = slot.host if inside else slot.module
        if path in inputs:
            self.module, self.shapes = network.get_submodule(path), inputs[path]
            self.slot = replace(slot, module=slot.module.removeprefix(path).removeprefix("."))
            return
        alone = slot.module in inputs
        tied = network.get_submodule(slot.module) if alone else nn.Identity()
        maps = site.maps or ((site.height, site.width),)
        own = tuple((site.channels, *each) for each in maps)
        self.shapes = inputs[slot.module] if alone else own
        self.module = nn.Sequential(OrderedDict(tied=tied))
        self.slot = replace(slot, module="tied")

    def graphs(self, label: str | None) -> tuple[TimedGraph, ...]:
        """Return the graphs of the block with an insertion, emptied, or as it comes (None).

        One for each time that it runs in a forward pass: their times add up.
        """
        probe = self._with(label)
        what = f"{self.site.name} {label or 'as it comes'}"
        graphs = []
        for shape in self.shapes:
            text = f"{shape} {probe!r} {self.slot.module} {self.slot.way}"
            key = hashlib.sha256(text.encode()).hexdigest()[:16]
            graphs.append(TimedGraph(key, what, shape, lambda: self._with(label)))
        return tuple(graphs)

    def _with(self, label: str | None) -> nn.Module:
        module = copied(self.module)
        if label == EMPTY:
            self.slot.fill(module, nn.Identity())
        elif label is not None:
            self.slot.fill(module, _block(label, self.site))
        return module.eval()


def _block(label: str, site: Site) -> nn.Module:
    """Build a block as it is shipped: gates folded where they can be."""
    name, options = parse_label(label)
    block = BLOCKS[name]
    module = block.assemble(site.channels, site.height, site.width, "identity", options)
    if site.slot.follower is not None:
        block.fold(module)
    return module.eval()


def input_shapes(network: nn.Module, resolution: Resolution) -> dict[str, tuple[Shape, ...]]:
    """Return path of a module -> the map that it reads, each time that it is called.

    Of those that read one map and nothing else.
    resolution: of the network's input.
    """
    shapes: defaultdict[str, list[Shape]] = defaultdict(list)
    others: set[str] = set()

    def hook(path: str) -> Callable[..., None]:
        def note(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            if kwargs or len(args) != 1 or not isinstance(args[0], Tensor) or args[0].ndim != 4:
                others.add(path)
                return
            _, channels, height, width = args[0].shape
            shapes[path].append((channels, height, width))

        return note

    handles = [
        module.register_forward_pre_hook(hook(path), with_kwargs=True)
        for path, module in network.named_modules()
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, *Size.of(resolution).shape))
    for handle in handles:
        handle.remove()
    return {path: tuple(read) for path, read in shapes.items() if path not in others}
