"""The graphs of single residual blocks, by which what an attention block adds is timed."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas.backbones import Site
from nas.base.size import Resolution, Size
from nas.blocks import BLOCKS
from nas.spec.architecture import EMPTY, parse_label

__all__ = ["HostBlock", "TimedGraph", "input_shapes"]


@dataclass(frozen=True)
class TimedGraph:
    """A graph to be timed.

    key: equal for graphs that take equally long.
    what: for people.
    shape: of one image, (channels, height, width).
    module: builds what is timed.
    """

    key: str
    what: str
    shape: tuple[int, int, int]
    module: Callable[[], nn.Module]


class HostBlock:
    """A residual block of a plain network, by itself, with one of its sites.

    network: the plain network.
    shapes: path of a module -> (channels, height, width) of the map that it reads.
    """

    def __init__(
        self, network: nn.Module, site: Site, shapes: Mapping[str, tuple[int, int, int]]
    ) -> None:
        self.site = site
        slot = site.slot
        inside = f"{slot.module}.".startswith(f"{slot.host}.")
        # In a flat network the block stands before a layer of the next module.
        path = slot.host if inside else slot.module
        self.module = network.get_submodule(path)
        self.shape = shapes[path]
        self.slot = replace(slot, module=slot.module.removeprefix(path).removeprefix("."))

    def graph(self, label: str | None) -> TimedGraph:
        """Return the graph of the block with an insertion, emptied, or as it comes (None)."""
        probe = self._with(label)
        text = f"{self.shape} {probe!r} {self.slot.module} {self.slot.way}"
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        what = f"{self.site.name} {label or 'as it comes'}"
        return TimedGraph(key, what, self.shape, lambda: self._with(label))

    def _with(self, label: str | None) -> nn.Module:
        module = copy.deepcopy(self.module)
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


def input_shapes(network: nn.Module, resolution: Resolution) -> dict[str, tuple[int, int, int]]:
    """Return path of a module -> (channels, height, width) of the map that it reads.

    resolution: of the images.
    """
    shapes: dict[str, tuple[int, int, int]] = {}

    def hook(path: str) -> Callable[..., None]:
        def note(_module: nn.Module, inputs: tuple[object, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
                _, channels, height, width = inputs[0].shape
                shapes[path] = (channels, height, width)

        return note

    handles = [
        module.register_forward_pre_hook(hook(path)) for path, module in network.named_modules()
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, *Size.of(resolution).shape))
    for handle in handles:
        handle.remove()
    return shapes
