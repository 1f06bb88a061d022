"""Sites: the places in a network where a block may go, found by walking it and tracing once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Site", "Slot", "trace_sites"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where and how a block is put into a network: `setattr(holder, child, block)`.

    host: path of the residual block it belongs to; position: where in it.
    stage: path of the group of blocks, or empty when the network is flat.
    filled: the backbone comes with a block there already.
    follower: path of the linear layer that reads the slot's output and nothing else,
    into whose weights a constant factor may be folded.
    """

    host: str
    position: str
    holder: str
    child: str
    stage: str = ""
    filled: bool = False
    follower: str | None = None

    @property
    def name(self) -> str:
        return f"{self.host}/{self.position}"

    def fill(self, network: nn.Module, block: nn.Module) -> None:
        setattr(network.get_submodule(self.holder), self.child, block)

    def block(self, network: nn.Module) -> nn.Module:
        return network.get_submodule(f"{self.holder}.{self.child}")


@dataclass(frozen=True, slots=True)
class Site:
    """A slot with the map that passes through it: (channels, height, width)."""

    name: str
    stage: str
    channels: int
    height: int
    width: int
    slot: Slot

    @property
    def filled(self) -> bool:
        return self.slot.filled


def trace_sites(network: nn.Module, slots: tuple[Slot, ...], resolution: int) -> tuple[Site, ...]:
    """Run one zero image through the network and note the map at every slot, in call order.

    Slots that the forward pass does not reach are left out.
    """
    found: dict[str, Site] = {}
    handles = []
    for slot in slots:
        holder = network.get_submodule(slot.holder)
        # An appended slot does not exist yet: what its Sequential gives is what it would read.
        tap = getattr(holder, slot.child, None) or holder

        def note(_module: nn.Module, _inputs: object, output: Tensor, slot: Slot = slot) -> None:
            _, channels, height, width = output.shape
            stage = slot.stage or f"{height}x{width}"
            found[slot.name] = Site(slot.name, stage, channels, height, width, slot)

        handles.append(tap.register_forward_hook(note))
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, resolution, resolution))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found.values())
