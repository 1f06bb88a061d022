"""Doubled gates: how a block that multiplies starts as an identity, and ends at no cost.

A closed block's gates all give sigmoid(0) = 1/2. Doubling them makes the block an identity.
Doubling is exact in floating point, so at export it moves into the weights that follow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["DoubledGate", "double_gates", "drop_single_gates", "single_gates", "undouble_gates"]

_SINGLE = "single"


class DoubledGate(nn.Module):
    """A gate twice over: 2 * sigmoid(z), which is 1 at z = 0.

    doubled: False in a block that began from trained weights, whose gate counts once. That is
        kept with the weights, so that they mean the same in a network that is built anew; those
        that say nothing, as files of before, are of doubled gates.
    """

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate
        self.doubled = True

    def forward(self, z: Tensor) -> Tensor:
        gate: Tensor = self.gate(z)
        return gate * 2.0 if self.doubled else gate

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.doubled:
            destination[prefix + _SINGLE] = torch.tensor(True)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        self.doubled = state_dict.pop(prefix + _SINGLE, None) is None
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def double_gates(block: nn.Module) -> None:
    """Double every gate of a block, in place; each is in an attribute `gate`, as timm's are."""
    for owner in list(block.modules()):
        gate = getattr(owner, "gate", None)
        if isinstance(gate, nn.Module):
            owner.gate = DoubledGate(gate)


def undouble_gates(block: nn.Module) -> bool:
    """Undo `double_gates`, in place, and say whether there was anything to undo."""
    doubled = False
    for owner in list(block.modules()):
        gate = getattr(owner, "gate", None)
        if isinstance(gate, DoubledGate):
            owner.gate = gate.gate
            doubled = doubled or gate.doubled
    return doubled


def single_gates(block: nn.Module) -> None:
    """Let the doubled gates of a block count once, in place."""
    for gate in block.modules():
        if isinstance(gate, DoubledGate):
            gate.doubled = False


def drop_single_gates(block: nn.Module) -> None:
    """Take away what `single_gates` left around gates, in place; doubled ones stay."""
    for owner in list(block.modules()):
        gate = getattr(owner, "gate", None)
        if isinstance(gate, DoubledGate) and not gate.doubled:
            owner.gate = gate.gate
