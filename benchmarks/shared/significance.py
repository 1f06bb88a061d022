"""P values of several comparisons that are read together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["holm"]

Floats = NDArray[np.float64]


def holm(p_values: Sequence[float] | Floats, comparisons: int | None = None) -> Floats:
    """Return p values corrected for a family of comparisons (Holm 1979).

    comparisons: the size of the family, with those that have no value; else as many as have one.
    A value of NaN stays NaN.
    """
    corrected = np.array(p_values, dtype=np.float64)
    order = np.argsort(corrected)[: np.count_nonzero(~np.isnan(corrected))]
    size = len(order) if comparisons is None else comparisons
    steps = (size - np.arange(len(order))) * corrected[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
