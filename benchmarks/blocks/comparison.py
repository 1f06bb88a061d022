"""One comparison of a block with its authors' code, and what stands around theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from benchmarks.blocks.authors_weights import Shape, State, in_order
from nas.spec.architecture import Option


@dataclass(frozen=True)
class Published:
    """One comparison of a block with its authors' code.

    file: owner/repository/path. make: (their module, map) -> their block.
    options: ours. weights: (our state, their state) -> the state to load into theirs.
    mended: (found, put in its place) in their source, for what does not run or is off-topic.
    absent: libraries that their file imports and the block does not need.
    """

    block: str
    file: str
    make: Callable[[Any, Shape], nn.Module]
    options: Mapping[str, Option] = field(default_factory=dict)
    weights: Callable[[State, State], State] = in_order
    mended: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()
    shape: Shape = (96, 14, 14)
    note: str = ""


class Around(nn.Module):
    """Their layers, and what their network does around them, as one block."""

    def __init__(self, layers: nn.Module, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = layers
        self.around = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.around(self.layers, x)


class Inserted(nn.Module):
    """x + branch(norm(x)), for a branch whose residual block its authors keep elsewhere."""

    def __init__(self, norm: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.norm, self.branch = norm, branch

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.branch(self.norm(x))
        return x + added
