"""The description of an attention block, and the contract that every one keeps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from nas.base.errors import SpecError
from nas.blocks.gate import double_gates, single_gates, undouble_gates
from nas.spec.architecture import Option

__all__ = ["WINDOWS", "Block", "FeatureMap", "Shape", "paper_width"]

WINDOWS = ("block_size", "dilation", "kernel_size", "patches", "regions", "stride", "window")
"""The options that are sides on a map, in positions, or how many parts a side has."""

_SAME = 1e-5  # of the largest value
_MAPS, _SCALE = 4, 8.0  # that a function is tried on; so large that gates of other shapes differ


def paper_width(channels: int, reduction: int) -> int:
    """Return the hidden width of SE and coordinate attention: max(8, C // r).

    arXiv:2103.02907.
    """
    return max(8, channels // reduction)


class FeatureMap(Protocol):
    """The map that a block goes to, as far as it must know; a backbone's Site is one."""

    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def maps(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each map, where there are several; empty: of that one alone."""


class Shape(NamedTuple):
    """A feature map by itself."""

    channels: int
    height: int
    width: int

    @property
    def maps(self) -> tuple[tuple[int, int], ...]:
        """No others."""
        return ()


@dataclass(frozen=True)
class Block:
    """One kind of block: (N, C, H, W) in, the same shape out.

    options: name -> the values that a search tries by default; the first is the paper's.
    make: builds it from channels, height, width and every option.
    width: hidden width for (channels, options); options that give one width make one network.
    limits: (channels, height, width, every option) -> why it does not fit that map, or None.

    The identity start, for inserting a block into a trained network, needs:

    closed_by: parameters that become zero, and with them whatever the block adds to its input
        (`gates` is 0 then), or what its gates read, so that each gives 1/2 whatever the input.
    gates: how many gates multiply each element of the map (coordinate attention: one along
        each axis, so 2). Doubled gates make the closed block an identity. A block keeps its
        gates in attributes `gate`, one module each.
    reads_gated: weights of layers inside the block, linear and without bias, that read a map
        behind one of its gates: they take over that gate's doubling when it is folded away.
    open: what else makes it an identity, in place, where zeros and doubled gates cannot; it
        must leave nothing behind that costs time.

    read: (a module that a backbone comes with, a block of this kind) -> the block's weights with
        which it computes what the module computes; None where that is of another kind or shape.
        A block that takes its place then starts from what it learnt.
    """

    name: str
    title: str
    paper: str
    make: Callable[..., nn.Module]
    closed_by: tuple[str, ...] = ()
    gates: int = 1
    reads_gated: tuple[str, ...] = ()
    open: Callable[[nn.Module], None] | None = None
    read: Callable[[nn.Module, nn.Module], Mapping[str, Tensor] | None] | None = None
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    width: Callable[[int, Mapping[str, Option]], int] | None = None
    limits: Callable[[int, int, int, Mapping[str, Option]], str | None] | None = None

    @property
    def defaults(self) -> dict[str, Option]:
        """The paper's choice of every option."""
        return {name: choices[0] for name, choices in self.options.items()}

    def applies(self, site: FeatureMap, options: Mapping[str, Option] | None = None) -> str | None:
        """Return why options that somebody chose do not fit a site; None when they do.

        A ratio above the channels is refused, unless it is the paper's: hidden widths have a
        floor. So is a window that is larger than any listed and reaches beyond the map from
        everywhere, so that more of it would meet nothing but padding.
        """
        chosen = options or {}
        reduction = chosen.get("reduction", 0)
        if site.channels < int(reduction) != self.defaults.get("reduction"):
            return f"reduction {reduction} is larger than its {site.channels} channels"
        options = self.complete(chosen)
        maps = tuple(dict.fromkeys(site.maps)) or ((site.height, site.width),)
        if reason := self._beyond(max(maps, key=max), options):
            return reason
        if self.limits is not None:
            reasons = (self.limits(site.channels, *each, options) for each in maps)
            reason = next((reason for reason in reasons if reason), None)
            if reason:
                return reason
        return self._bound_to(site.channels, maps, options) if len(maps) > 1 else None

    def _beyond(self, largest: tuple[int, int], options: Mapping[str, Option]) -> str | None:
        """Return why a window is too large for a map (height, width)."""
        for name in (name for name in WINDOWS if name in options):
            most = max(2 * max(largest) - 1, *map(int, self.options[name]))
            if int(options[name]) > most:
                height, width = largest
                return (
                    f"{name} {options[name]} reaches beyond its map of {height}x{width}; at most "
                    f"{most} there"
                )
        return None

    def _bound_to(
        self, channels: int, maps: Sequence[tuple[int, int]], options: Mapping[str, Option]
    ) -> str | None:
        """Return why a block that is made for the first of several maps cannot read the others."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            module = self.assemble(channels, *maps[0], "paper", options).eval()
            try:
                for height, width in maps[1:]:
                    module(torch.zeros(1, channels, height, width))
            except (RuntimeError, AssertionError):
                written = " and ".join(f"{height}x{width}" for height, width in maps)
                return f"it is made for maps of one size, and there they are {written}"
        return None

    def complete(self, options: Mapping[str, Option]) -> dict[str, Option]:
        """Check options and add the paper's choice for those not given.

        Raises SpecError for an unknown option or a value out of range.
        """
        for name, value in options.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise SpecError(f"block {self.name!r} has no option {name!r}; it has: {known}")
            self._check_value(name, value)
        return self.defaults | dict(options)

    def _check_value(self, name: str, value: Option) -> None:
        """Check one value: numbers may be others than those listed; words and flags may not."""
        choices = self.options[name]
        if isinstance(choices[0], str | bool):
            allowed = ", ".join(str(choice) for choice in choices)
            fits = isinstance(value, type(choices[0])) and value in choices
        else:
            odd = name == "kernel_size"
            allowed = "an odd whole number" if odd else "a whole number of at least 1"
            fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            fits = fits and (not odd or int(value) % 2 == 1)
        if not fits:
            raise SpecError(f"{self.name}.{name}: found {value!r}; allowed: {allowed}")

    def assemble(
        self, channels: int, height: int, width: int, start: str, options: Mapping[str, Option]
    ) -> nn.Module:
        """Build a block; with start `identity`, its output equals its input at first."""
        module = self.make(channels, height, width, **self.complete(options))
        if start == "identity":
            for name in self.closed_by:
                nn.init.zeros_(module.get_parameter(name))
            double_gates(module)
            if self.open:
                self.open(module)
        return module

    def take_over(self, module: nn.Module, trained: nn.Module, site: FeatureMap) -> bool:
        """Let a block of an identity start begin as the trained module in whose place it comes.

        In place, where both are of one kind and compute the same of any map, which is tried.
        Returns whether it did; else the block stays as it was.
        trained: in evaluation mode, as the block is.
        """
        weights = self.read(trained, module) if self.read else None
        if weights is None:
            return False
        taught = copy.deepcopy(module)
        taught.load_state_dict(dict(weights), strict=False)
        single_gates(taught)
        if not _same_function(taught, trained, site):
            return False
        module.load_state_dict(taught.state_dict())
        return True

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
        """Return a value that is equal for options that build the same network.

        channels: of the site.
        """
        rest = {name: value for name, value in options.items() if name != "reduction"}
        width = self.width(channels, options) if self.width else options.get("reduction")
        return (self.name, width, *sorted(rest.items()))


def _same_function(one: nn.Module, other: nn.Module, site: FeatureMap) -> bool:
    """Say whether two modules compute the same of maps, but for rounding."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(_MAPS, site.channels, site.height, site.width, generator=generator)
    # Means of whole maps differ, too.
    maps = _SCALE * (maps + torch.randn(_MAPS, site.channels, 1, 1, generator=generator))
    with torch.no_grad():
        before, after = other(maps.clone()), one(maps.clone())
    return bool((before - after).abs().max() <= _SAME * maps.abs().max())
