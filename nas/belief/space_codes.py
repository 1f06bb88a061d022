"""The codes of networks: what a row of numbers stands for, to those that only see numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.base.errors import SpecError
from nas.spec.architecture import EMPTY, KEEP, parse_label

__all__ = ["CodedSpace", "Codes"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CodedSpace:
    """The meaning of the codes of one plain network's architectures.

    A network is a row of codes, (d,): the number of its choice at each decision. `nas.models`
    makes the space of a search space, and codes of architectures.

    decisions: (d,) names, in the order of the forward pass.
    labels: choices of each decision: `coord/r8`; the idle ones are `none`, or `keep` where a
        slot comes filled.
    idle: (d,) number of the choice that leaves a decision as the backbone comes.
    stages: (d,) name of the stage that a decision is in.
    depth: (d,) 0 at the input to 1 at the output.
    blocks: for each decision, (k,) the blocks that each choice inserts.
    log_macs: for each decision, (k,) natural logarithm of what a choice alone makes of the plain
        network's multiply-adds, as a ratio; 0 for the idle one.
    positions: (d,) place in the residual block, `after_depthwise`; empty where not known.
    """

    decisions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    idle: Codes
    stages: tuple[str, ...]
    depth: Floats
    blocks: tuple[Floats, ...]
    log_macs: tuple[Floats, ...]
    positions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("labels", "idle", "stages", "depth", "blocks", "log_macs"):
            count = len(getattr(self, name))
            assert count == len(self.decisions), f"{name}: {count} of {len(self.decisions)}"
        for labels, blocks, log_macs in zip(self.labels, self.blocks, self.log_macs, strict=True):
            assert len(labels) == len(blocks) == len(log_macs), labels

    def __len__(self) -> int:
        """The number of decisions."""
        return len(self.decisions)

    @cached_property
    def sizes(self) -> Codes:
        """(d,) how many choices each decision has."""
        return np.array([len(labels) for labels in self.labels], dtype=np.int64)

    @property
    def plain(self) -> Codes:
        """(d,) codes of the plain network."""
        return self.idle.copy()

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of blocks that can be chosen somewhere, in the order they first appear."""
        inserted = (kind for kinds in self.kind_of for kind in kinds if kind)
        return tuple(dict.fromkeys(inserted))

    @cached_property
    def kind_of(self) -> tuple[tuple[str, ...], ...]:
        """The kind of block of each choice, for each decision; empty where it inserts none."""
        return tuple(
            tuple("" if label in {EMPTY, KEEP} else parse_label(label)[0] for label in labels)
            for labels in self.labels
        )

    @cached_property
    def sites(self) -> Floats:
        """(d,) the most blocks that a decision can insert."""
        return np.array([blocks.max() for blocks in self.blocks])

    def checked(self, codes: ArrayLike) -> Codes:
        """Return codes as (n, d); one network may be given as (d,).

        Raises SpecError for other shapes, and for numbers that stand for no choice.
        """
        rows = np.atleast_2d(np.asarray(codes))
        if rows.size == 0:
            return np.zeros((0, len(self)), dtype=np.int64)
        if rows.ndim != 2 or rows.shape[1] != len(self) or rows.dtype.kind not in "iu":
            raise SpecError(
                f"codes of shape {rows.shape}, {rows.dtype}; whole numbers (n, {len(self)}) are "
                "needed, one for each decision"
            )
        wrong = np.argwhere((rows < 0) | (rows >= self.sizes))
        if len(wrong):
            row, column = wrong[0]
            raise SpecError(
                f"code {rows[row, column]} at {self.decisions[column]!r} stands for no choice; "
                f"0 to {self.sizes[column] - 1} are allowed"
            )
        return rows.astype(np.int64)

    def summed(self, tables: Sequence[Floats], codes: Codes) -> Floats:
        """Add up over the decisions what their tables hold for each choice.

        tables: for each decision, (k,) or (k, f).
        codes: (n, d).
        Returns (n,) or (n, f).
        """
        total = np.zeros((len(codes), *np.shape(tables[0])[1:]))
        for table, column in zip(tables, codes.T, strict=True):
            total += np.asarray(table)[column]
        return total
