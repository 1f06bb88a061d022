"""Sites: the places in a network where a block may go, and how it is put there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from nas.spec.positions import Part, Position

__all__ = ["OTHER_POSITIONS", "PAPER_POSITIONS", "Site", "Slot", "usual_positions"]

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
    """

    host: str
    position: str
    module: str
    way: Literal["in", "before", "after"]
    stage: str = ""
    filled: bool = False
    follower: str | None = None
    part: Part = "backbone"

    @property
    def name(self) -> str:
        """The name of the site: `blocks.2.1/after_depthwise`."""
        return f"{self.host}/{self.position}"

    @property
    def path(self) -> str:
        """The path of the block once it is there; all other weights keep their names."""
        return self.module if self.way == "in" else f"{self.module}.attention_{self.way}"

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
        owner.add_module(f"attention_{self.way}", block)
        if isinstance(owner, nn.Sequential):
            return  # the last of its modules now, so it runs by itself
        if self.way == "after":
            owner.register_forward_hook(_attend_to_output)
        else:
            owner.register_forward_pre_hook(_attend_to_input)

    def block(self, network: nn.Module) -> nn.Module:
        """Return the block that a network has here."""
        return network.get_submodule(self.path)


# Functions of the module, not closures over the block: so a deep copy calls its own block.
def _attend_to_output(module: Any, _inputs: object, output: Tensor) -> Tensor:
    attended: Tensor = module.attention_after(output)
    return attended


def _attend_to_input(module: Any, inputs: tuple[Tensor]) -> Tensor:
    attended: Tensor = module.attention_before(*inputs)
    return attended


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
