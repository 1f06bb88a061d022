"""Rank correlation, and the interval that few networks leave it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nas.belief.noise import NORMAL_QUANTILE

__all__ = ["correlation_interval", "rank_correlation"]

Floats = NDArray[np.float64]

_CERTAIN = 0.999  # beyond it Fisher's transformation has no end


def rank_correlation(one: Floats, two: Floats) -> float:
    """Return Spearman's rank correlation of two figures of the same networks.

    one, two: (n,); equal values share the mean of their ranks.
    NaN with fewer than three networks, and where a figure is the same for all or holds NaN.
    """
    if len(one) < 3 or not (np.ptp(one) > 0 and np.ptp(two) > 0):
        return math.nan
    return float(np.corrcoef(_ranks(one), _ranks(two))[0, 1])


def correlation_interval(correlation: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rank correlation.

    count: networks that it is of; more than three.
    Fisher's transformation with the variance of Bonett and Wright (Psychometrika, 2000).
    """
    centre = math.atanh(max(-_CERTAIN, min(_CERTAIN, correlation)))
    reach = NORMAL_QUANTILE * math.sqrt((1 + correlation**2 / 2) / (count - 3))
    return math.tanh(centre - reach), math.tanh(centre + reach)


def _ranks(values: Floats) -> Floats:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    ranks: Floats = (ends - (count - 1) / 2)[group]
    return ranks
