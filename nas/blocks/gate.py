"""Doubled gates: how a block that multiplies starts as an identity, and ends at no cost.

A closed block's gates all give sigmoid(0) = 1/2. Doubling them makes the block an identity.
Doubling is exact in floating point, so at export it moves into the weights that follow.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DoubledGate", "double_gates", "undouble_gates"]


class DoubledGate(nn.Module):
    """A gate twice over: 2 * sigmoid(z), which is 1 at z = 0."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, z: Tensor) -> Tensor:
        gate: Tensor = self.gate(z)
        return gate * 2.0


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
            doubled = True
    return doubled
