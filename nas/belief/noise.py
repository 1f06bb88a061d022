"""What the choice of seed does to a figure, and means that are fair in spite of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["NORMAL_QUANTILE", "SeedNoise", "mean_over_seeds", "student_quantile"]

NORMAL_QUANTILE = 1.96
"""The two-sided 95 % quantile of the normal distribution."""

_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)

_SWEEPS = 50
_EXACT = 1e-9  # relative: two seeds never come so close, one network evaluated twice does

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class SeedNoise:
    """means: (g,) per network. exact: (g,) networks that training does not change.
    alone: standard deviation of one network between seeds. paired: the same after what a seed
    does to all networks alike is taken out: it bears on differences between networks that
    were trained with the same seeds, known to `freedom` degrees of freedom. Both NaN while too
    few networks have several seeds. effects: seed -> what it does to all networks alike.
    """

    means: Floats
    exact: NDArray[np.bool_]
    alone: float
    paired: float
    freedom: int = 0
    effects: dict[int, float] = field(default_factory=dict)


def student_quantile(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t, to 1 %."""
    if freedom <= len(_STUDENT):
        return _STUDENT[max(freedom, 1) - 1]
    return NORMAL_QUANTILE + 2.4 / freedom


def mean_over_seeds(
    values: Floats, group: Whole, seed: Whole, exact: NDArray[np.bool_] | None = None
) -> SeedNoise:
    """Mean of each network over its seeds, corrected for seeds that are easy or hard for all.

    values: (n,); group: (n,) number of the network, 0 to g-1, each present; seed: (n,) any
    labels; exact: (g,) networks known to be unchanged by training, such as the plain one under
    a probe (others that repeat are found anyhow).

    Without the correction a network that was trained only with an easy seed would look better
    than one that was trained with all. The additive model value = network + seed is fitted by
    least squares on the networks with several seeds; seeds average to zero.
    """
    count = np.bincount(group)
    seeds, which = np.unique(seed, return_inverse=True)
    raw = np.bincount(group, weights=values) / count
    squares = np.bincount(group, weights=(values - raw[group]) ** 2)
    same = (count > 1) & (squares <= (_EXACT * (1 + np.abs(raw))) ** 2)
    exact = same if exact is None else same | exact
    repeated = (count > 1) & ~exact
    freedom = int((count[repeated] - 1).sum())
    if freedom == 0:
        return SeedNoise(raw, exact, math.nan, math.nan)
    alone = math.sqrt(float(squares[repeated].sum()) / freedom)

    used = repeated[group]
    effects = _seed_effects(values[used], group[used], which[used], len(seeds))
    fair = values - np.where(exact[group], 0.0, effects[which])
    means = np.bincount(group, weights=fair) / count
    residual = (fair - means[group])[used]
    freedom -= len(np.unique(which[used])) - 1
    paired = math.sqrt(float((residual**2).sum()) / freedom) if freedom > 0 else math.nan
    by_seed = dict(zip(seeds.tolist(), effects.tolist(), strict=True))
    return SeedNoise(means, exact, alone, paired, max(freedom, 0), by_seed)


def _seed_effects(values: Floats, group: Whole, which: Whole, seeds: int) -> Floats:
    """Least squares by sweeping back and forth between networks and seeds."""
    effects = np.zeros(seeds)
    networks = np.maximum(np.bincount(group), 1)
    used = np.bincount(which, minlength=seeds)
    for _ in range(_SWEEPS):
        means = np.bincount(group, weights=values - effects[which]) / networks
        rest = np.bincount(which, weights=values - means[group], minlength=seeds)
        effects = rest / np.maximum(used, 1)
        effects[used > 0] -= effects[used > 0].mean()
    return effects
