"""Every network of a front, on it or not, as columns for pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.study.front.network_table import NetworkTable

__all__ = ["Cloud"]


@dataclass(frozen=True, eq=False)
class Cloud(Mapping[str, NDArray[Any]]):
    """Columns of the kept rows, cut out when they are asked for: of a million, few are.

    keep: (n,) of the networks of `measured`.
    """

    measured: NetworkTable
    keep: NDArray[np.bool_]

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise KeyError(name)
        return self.measured.column(name)[self.keep]

    def __contains__(self, name: object) -> bool:
        return name == "blocks" or name in self.measured.columns

    def __iter__(self) -> Iterator[str]:
        return iter((*self.measured.columns, "blocks"))

    def __len__(self) -> int:
        return len(self.measured.columns) + 1
