"""What every attention block tells about itself, and the contract that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from nas.architecture import Option
from nas.blocks.gate import double_gates, undouble_gates
from nas.errors import SpecError

__all__ = ["Block", "paper_width"]


def paper_width(channels: int, reduction: int) -> int:
    """Hidden width of SE and coordinate attention in arXiv:2103.02907: max(8, C // r)."""
    return max(8, channels // reduction)


@dataclass(frozen=True)
class Block:
    """One kind of block: (N, C, H, W) in, the same shape out.

    options: name -> the values that a search tries by default; the first is the paper's.
    make: builds it from channels, height, width and every option.
    closed_by: parameters of the last layers before its gates. At zero, each gate gives 1/2
    whatever the input; doubled gates then make the block an identity (see `nas.networks`).
    gates: how many gates multiply each element of the map (coordinate attention: one along
    each axis, so 2). Doubling them all multiplies the closed block by 2 ** gates.
    reads_gated: weights of layers inside the block, linear and without bias, that read a map
    behind one of its gates: they take over that gate's doubling when it is folded away.
    width: hidden width for (channels, options); options that give one width make one network.
    """

    name: str
    title: str
    paper: str
    make: Callable[..., nn.Module]
    closed_by: tuple[str, ...]
    gates: int = 1
    reads_gated: tuple[str, ...] = ()
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    width: Callable[[int, Mapping[str, Option]], int] | None = None

    @property
    def defaults(self) -> dict[str, Option]:
        """The paper's choice of every option."""
        return {name: choices[0] for name, choices in self.options.items()}

    def applies(self, channels: int, options: Mapping[str, Option]) -> str | None:
        """Why options that somebody chose do not fit a site; None when they do.

        A ratio above the channels is refused when asked for; as a default it is harmless,
        since the hidden width has a floor.
        """
        reduction = options.get("reduction")
        if isinstance(reduction, int) and reduction > channels:
            return f"reduction {reduction} is larger than its {channels} channels"
        return None

    def complete(self, options: Mapping[str, Option]) -> dict[str, Option]:
        """Check options and add the paper's choice for those not given. Raises SpecError."""
        for name, value in options.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise SpecError(f"block {self.name!r} has no option {name!r}; it has: {known}")
            self._check_value(name, value)
        return self.defaults | dict(options)

    def _check_value(self, name: str, value: Option) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name == "reduction" and not (whole and int(value) >= 1):
            raise SpecError(
                f"{self.name}.{name}: found {value!r}; a whole number of at least 1 is allowed"
            )
        if name == "kernel_size" and not (whole and int(value) >= 1 and int(value) % 2 == 1):
            raise SpecError(f"{self.name}.{name}: found {value!r}; an odd whole number is allowed")

    def assemble(
        self, channels: int, height: int, width: int, start: str, options: Mapping[str, Option]
    ) -> nn.Module:
        """Build it; with start `identity`, its output equals its input at first."""
        module = self.make(channels, height, width, **self.complete(options))
        if start == "identity":
            for name in self.closed_by:
                nn.init.zeros_(module.get_parameter(name))
            double_gates(module)
        return module

    def fold(self, module: nn.Module) -> float:
        """Undo the doubled gates of an identity start, in place.

        Returns the factor that the layer behind the block must take over; 1 when the block
        had none, as after a start from scratch.
        """
        if not undouble_gates(module):
            return 1.0
        with torch.no_grad():
            for name in self.reads_gated:
                module.get_parameter(name).mul_(2.0)
        return 2.0**self.gates

    def same_network(self, channels: int, options: Mapping[str, Option]) -> tuple[object, ...]:
        """Equal for options that build the same network at a site with so many channels."""
        rest = {name: value for name, value in options.items() if name != "reduction"}
        width = self.width(channels, options) if self.width else options.get("reduction")
        return (self.name, width, *sorted(rest.items()))
