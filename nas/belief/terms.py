"""Terms that several sites share: how many blocks there are, of which kind, where, how wide.

A block at one site then says something of the same block at another, and of other blocks at the
same. Everything is 0 for a network without blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nas.belief.grid import Codes, Floats, Grid, describe

__all__ = ["Place", "SharedTerms", "stage_of"]


def stage_of(site: str) -> str:
    """Return the modules that hold the residual block of a site; empty in a flat network.

    `blocks.2` of `blocks.2.1/after_depthwise`.
    """
    return site.rpartition("/")[0].rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sites of one decision lie.

    stage: name of their stage.
    depth: 0 at the input to 1 at the output.
    blocks: how many blocks a choice inserts there; 0 for a parameter that is no decision.
    """

    stage: str
    depth: float
    blocks: int


@dataclass(frozen=True, eq=False)
class SharedTerms:
    """The terms of the points of a grid.

    places: of each parameter of the grid.
    """

    grid: Grid
    places: Sequence[Place]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of blocks, in the order they first appear."""
        kinds = [
            describe(choice)[0]
            for place, choices in zip(self.places, self.grid.parameters.values(), strict=True)
            for choice in choices
            if place.blocks
        ]
        return tuple(dict.fromkeys(kind for kind in kinds if kind not in ("none", "keep")))

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The stages with a decision."""
        return tuple(dict.fromkeys(place.stage for place in self.places if place.blocks))

    @property
    def _sums(self) -> int:
        return 3 * len(self.kinds) + len(self.stages)

    @cached_property
    def _tables(self) -> list[Floats]:
        """For each parameter, (choices, s): blocks, their depth and ratio by kind, by stage."""
        kinds, stages, total = self.kinds, self.stages, max(1, self._most)
        tables = []
        for place, choices in zip(self.places, self.grid.parameters.values(), strict=True):
            table = np.zeros((len(choices), self._sums))
            for row, choice in enumerate(choices):
                kind, numbers = describe(choice)
                if not place.blocks or kind not in kinds:
                    continue
                share, column = place.blocks / total, kinds.index(kind)
                table[row, column] = share
                table[row, len(kinds) + column] = share * (2 * place.depth - 1)
                ratio = next((value for value in numbers.values() if value > 0), 1.0)
                table[row, 2 * len(kinds) + column] = share * np.log2(ratio)
                table[row, 3 * len(kinds) + stages.index(place.stage)] = share
            tables.append(table)
        return tables

    @cached_property
    def _most(self) -> int:
        return sum(place.blocks for place in self.places)

    @cached_property
    def groups(self) -> Codes:
        """The group (t,) of each term; a group's terms have one variance."""
        kinds, stages = len(self.kinds), len(self.stages)
        sizes = [1, 1, 1, kinds, kinds, kinds, kinds, stages]
        return np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)

    def __call__(self, codes: Codes) -> Floats:
        """Return terms (n, t): blocks, their saturation, then by kind, and by stage.

        The share of sites that hold a block; whether any does, and the square of that share; the
        share of each kind, its square, its trend over depth and its ratios; of each stage.
        """
        sums = np.zeros((len(codes), self._sums))
        for table, column in zip(self._tables, codes.T, strict=True):
            sums += table[column]
        number = len(self.kinds)
        kinds, depths, ratios, stages = np.split(sums, [number, 2 * number, 3 * number], axis=1)
        share = kinds.sum(axis=1, keepdims=True)
        ratios = ratios - 4.0 * kinds  # about a reduction of 16
        return np.concatenate(
            [share, (share > 0) * 1.0, share**2, kinds, kinds**2, depths, 0.5 * ratios, stages],
            axis=1,
        )

    def load(self, codes: Codes) -> Floats:
        """Return the root (n,) of the share of sites that hold a block."""
        share = sum(
            table[column][:, : len(self.kinds)].sum(axis=1)
            for table, column in zip(self._tables, codes.T, strict=True)
        )
        return np.sqrt(np.asarray(share, dtype=np.float64) + np.zeros(len(codes)))
