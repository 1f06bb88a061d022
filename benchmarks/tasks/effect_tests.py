"""Tests of whether networks differ from the plain one, by a few seeds on the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher
from scipy.stats import t as student

from benchmarks.shared.significance import holm

__all__ = ["Effect", "effects_of", "repeatability"]

Floats = NDArray[np.float64]

_DRAWS = 2000
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Effect:
    """By how much a network is better than the plain one.

    error: a standard error, over images and trainings; NaN from one seed.
    reach: by how many errors an interval of 95 % reaches to each side.
    corrected: the p value that stands for all comparisons together.
    """

    gain: float
    error: float
    reach: float
    corrected: float

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if not self.corrected < _LEVEL:
            return "nothing is shown"
        return "better" if self.gain > 0 else "worse"


def effects_of(
    marks: Mapping[str, Sequence[NDArray[Any]]],
    figure: Callable[[NDArray[Any]], float],
    comparisons: int,
) -> dict[str, Effect]:
    """Compare networks with the first one.

    marks: of each network by seed, on the same images or groups of them, (groups, ...).
    figure: of such marks; more is better.
    comparisons: that p values are corrected for, those included that cannot be made.
    """
    figures = np.array([[figure(one) for one in by_seed] for by_seed in marks.values()])
    networks, seeds = figures.shape
    trainings, freedom = training_variance(figures)
    drawn = _drawn(list(marks.values()), figure)
    groups = len(next(iter(marks.values()))[0])
    gaps = drawn[:, 1:] - drawn[:, :1]
    # As many drawn of as many vary by less than what they stand for, by one in as many.
    images = gaps.var(axis=0, ddof=1) * groups / max(groups - 1, 1)
    gains = figures.mean(axis=1)[1:] - figures.mean(axis=1)[0]
    errors = np.sqrt(images + 2 * trainings / seeds)
    ratios = np.abs(gains) / np.maximum(errors, 1e-12)
    reach = float(student.ppf(1 - _LEVEL / 2, freedom)) if freedom else math.nan
    corrected = np.full(networks - 1, math.nan)
    if freedom:
        corrected = holm(2 * student.sf(ratios, freedom), comparisons)
    rows = zip(list(marks)[1:], gains, errors, corrected, strict=True)
    return {
        name: Effect(float(gain), float(error), reach, float(value))
        for name, gain, error, value in rows
    }


def training_variance(figures: Floats) -> tuple[float, int]:
    """Return by how much a training varies, and the degrees of freedom that this is known with.

    What is left in a two-way table when each network and each seed has its mean.

    figures: (networks, seeds).
    """
    left = figures - figures.mean(axis=1, keepdims=True) - figures.mean(axis=0) + figures.mean()
    freedom = (figures.shape[0] - 1) * (figures.shape[1] - 1)
    return (float((left**2).sum() / freedom) if freedom else math.nan), freedom


def repeatability(figures: Floats) -> tuple[float, float, float]:
    """Return how well one training tells networks apart as another would, with its interval.

    The share of the variance of single trainings that is of networks, seeds' means left out:
    intraclass correlation (3,1) of Shrout and Fleiss, Psychological Bulletin 86, 1979, with its
    interval of 95 %.

    figures: (networks, seeds), at least two of each.
    """
    networks, seeds = figures.shape
    left, freedom = training_variance(figures)
    between = seeds * float(figures.mean(axis=1).var(ddof=1))
    ratio = between / left
    tail = 1 - _LEVEL / 2
    low = ratio / float(fisher.ppf(tail, networks - 1, freedom))
    high = ratio * float(fisher.ppf(tail, freedom, networks - 1))
    share, least, most = ((one - 1) / (one + seeds - 1) for one in (ratio, low, high))
    return share, least, most


def _drawn(
    networks: Sequence[Sequence[NDArray[Any]]], figure: Callable[[NDArray[Any]], float]
) -> Floats:
    """Return figures over groups drawn again, means over seeds: (draws, networks)."""
    rng = np.random.default_rng(0)
    groups = len(networks[0][0])
    drawn = np.empty((_DRAWS, len(networks)))
    for draw in range(_DRAWS):
        rows = rng.integers(groups, size=groups)
        drawn[draw] = [np.mean([figure(one[rows]) for one in by_seed]) for by_seed in networks]
    return drawn
