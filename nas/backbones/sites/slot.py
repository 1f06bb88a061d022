"""Sites: the places in a network where a block may go, and how it is put there."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import CodeType
from typing import Any, Literal

from torch import Tensor, nn

from nas.spec.positions import Part, Position

__all__ = ["OTHER_POSITIONS", "PAPER_POSITIONS", "Site", "Slot", "keeper_within", "usual_positions"]

PAPER_POSITIONS: tuple[Position, ...] = ("after_depthwise", "after_first_depthwise")
"""The positions at which arXiv:2103.02907 puts blocks: inverted residuals', and sandglasses'."""

OTHER_POSITIONS: tuple[Position, ...] = ("after_projection", "after_convolution", "after_residual")
"""The positions of blocks in a network without depthwise convolutions, the most usual first.

Squeeze-excitation in a ResNet stands behind the last convolution, before the sum (arXiv:1709.01507,
section 3.3).
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """The way that a block is put into a network.

    host: path of the residual block it belongs to.
    position: where in it (see nas.spec.space), or `output` for a module that a pattern names.
    module: path of the module that it is tied to.
    way: `in` the place of that module, on its output (`after`), or on its input (`before`), which
        leaves whatever else reads that map alone.
    stage: path of the group of blocks, or the size of the map when the network is flat.
    filled: whether the backbone comes with a block there already.
    follower: path of the convolution that reads the slot's output and nothing else does, and
        that computes with weights of its own as they are stored: a constant factor may be folded
        into them. None when there is none.
    part: of the network; paths of the backbone's slots are within the backbone.
    keeper: path, within the module, of the layer that keeps the block; empty: the module itself.
        See `keeper_within`.
    """

    host: str
    position: str
    module: str
    way: Literal["in", "before", "after"]
    stage: str = ""
    filled: bool = False
    follower: str | None = None
    part: Part = "backbone"
    keeper: str = ""

    @property
    def name(self) -> str:
        """The name of the site: `blocks.2.1/after_depthwise`."""
        return f"{self.host}/{self.position}"

    @property
    def path(self) -> str:
        """The path of the block once it is there; all other weights keep their names."""
        return self.module if self.way == "in" else f"{self.module}.{self.block_within}"

    @property
    def block_within(self) -> str:
        """The path of the block within the module that it is tied to."""
        if not self.keeper:
            return f"attention_{self.way}"
        # Modules in one another may have one keeper: the number says how far up it belongs.
        return f"{self.keeper}.attention_{self.way}_{self.keeper.count('.') + 1}"

    @property
    def is_inner(self) -> bool:
        """True where what reads the slot's output is in its residual block, as nothing else is."""
        return self.follower is not None and self.follower.startswith(f"{self.host}.")

    def fill(self, network: nn.Module, block: nn.Module) -> None:
        """Put a block into a network, in place."""
        if self.way == "in":
            network.set_submodule(self.module, block)
            return
        owner = network.get_submodule(self.module)
        keeper, _, name = self.block_within.rpartition(".")
        owner.get_submodule(keeper).add_module(name, block)
        if not self.keeper and isinstance(owner, nn.Sequential):
            return  # the last of its modules now, so it runs by itself
        if self.way == "after":
            owner.register_forward_hook(partial(_attend_to_output, self.block_within))
        else:
            hook = partial(_attend_to_input, self.block_within)
            owner.register_forward_pre_hook(hook, with_kwargs=True)

    def block(self, network: nn.Module) -> nn.Module:
        """Return the block that a network has here."""
        return network.get_submodule(self.path)


# Functions of the module and a path, not closures over the block: so a deep copy calls its own.
def _attend_to_output(block: str, module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    attended: Tensor = module.get_submodule(block)(output)
    return attended


def _attend_to_input(
    block: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Attend to the one map that a layer reads, `layer(x)` or `layer(input=x)`."""
    attend = module.get_submodule(block)
    return tuple(map(attend, args)), {name: attend(value) for name, value in kwargs.items()}


_ALL_HELD = {"children", "named_children", "modules", "named_modules", "_modules"}
"""The names by which a module has all that it holds."""


def keeper_within(module: nn.Module) -> str:
    """Return the path of the layer that keeps a block behind a module; empty: the module itself.

    A module whose forward goes through all that it holds (`for layer in self.children()`, as timm's
    stages of a RegNet; the dense blocks of a DenseNet) would run the block, too: its first layer
    keeps it then, since no layer runs what it holds.
    """
    if type(module).forward is nn.Sequential.forward or not _runs_all_held(module):
        return ""
    layers = (path for path, layer in module.named_modules() if path and not any(layer.children()))
    return next(layers, "")


def _runs_all_held(module: nn.Module) -> bool:
    """Say whether the forward of a module, or what it calls of its class, asks for all it holds.

    Containers with a forward of their own, such as a shortcut around `super().forward(x)`, do.
    """
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return True
    waiting, seen = ["forward"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in _ALL_HELD:
            return True
        function = getattr(type(module), name, None)
        own = name == "forward" or not hasattr(nn.Module, name)
        if own and name not in seen and inspect.isfunction(function):
            waiting += _names(inspect.unwrap(function).__code__)
        seen.add(name)
    return False


def _names(code: CodeType) -> Iterator[str]:
    """Yield the attributes that a function names, in what it defines within, too."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


@dataclass(frozen=True, slots=True)
class Site:
    """A slot with the map that passes through it: (channels, height, width).

    maps: (height, width) of each time, where it is passed several times in one forward pass, as in
        a module that runs at several scales; the largest is the site's own. Empty: once.
    """

    channels: int
    height: int
    width: int
    slot: Slot
    maps: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """The name of its slot."""
        return self.slot.name

    @property
    def position(self) -> str:
        """The position in its residual block."""
        return self.slot.position

    @property
    def stage(self) -> str:
        """The group of blocks that it is in."""
        return self.slot.stage

    @property
    def part(self) -> Part:
        """The part of the network that it is in."""
        return self.slot.part

    @property
    def filled(self) -> bool:
        """True where the backbone comes with a block in the slot."""
        return self.slot.filled


def usual_positions(sites: Iterable[Site]) -> tuple[Position, ...]:
    """Return the positions, of those that sites have, at which papers put blocks."""
    have = {site.position for site in sites}
    if have.intersection(PAPER_POSITIONS):
        return PAPER_POSITIONS
    return next(((position,) for position in OTHER_POSITIONS if position in have), PAPER_POSITIONS)
