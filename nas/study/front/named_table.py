"""The networks of a front as a table to filter, by the names that their task gives its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nas.spec.task import Figure
from nas.study.front.network_table import NetworkTable

__all__ = ["NamedTable"]


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table of networks whose columns of accuracies are called by another figure."""

    networks: NetworkTable
    figure: Figure

    @property
    def numbers(self) -> Sequence[str]:
        """The names of columns of numbers."""
        return tuple(self.figure.column(name) for name in self.networks.numbers)

    @property
    def texts(self) -> Sequence[str]:
        """The names of columns of text."""
        return self.networks.texts

    @property
    def limited(self) -> Sequence[str]:
        """The names of columns that limits may be of."""
        return tuple(self.figure.column(name) for name in self.networks.limited)

    def __len__(self) -> int:
        return len(self.networks)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, (n,)."""
        return self.networks.column(self.figure.known_as(name))

    def sites(self, kind: str | None, stage: str | None) -> NDArray[Any]:
        """Return counts of blocks, (n,); see `NetworkTable.sites`."""
        return self.networks.sites(kind, stage)
