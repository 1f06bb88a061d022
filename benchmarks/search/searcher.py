"""What asks a sampler for networks and tells it what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from benchmarks.search.table import Table

Codes = tuple[int, ...]
Pair = tuple[float, float]


class Searcher(Protocol):
    """Proposes networks; several may be out at once, told apart by their numbers."""

    def ask(self, number: int) -> Codes | None:
        """The codes of a network. None: nothing before another result is told."""

    def note(self, number: int, codes: Codes) -> None:
        """A network that was drawn without the sampler and is out from now on."""

    def tell(self, number: int, costs: Pair | None) -> None:
        """Loss and cost as observed. None: nothing will come, it is out under another number."""


Make = Callable[[Table, int, int], Searcher]
"""Table, number of workers, seed -> a searcher."""
