"""What the choice of seed does to a figure, and means that are fair in spite of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.belief.mixed_model import MixedModel, Trainings

__all__ = ["NORMAL_QUANTILE", "SeedNoise", "mean_over_seeds"]

NORMAL_QUANTILE = 1.96
"""The two-sided 95 % quantile of the normal distribution."""

_EXACT = 1e-9  # relative: two seeds never come so close, one network evaluated twice does

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class SeedNoise:
    """The effect of the choice of seed on one figure of g networks.

    means: (g,) per network.
    exact: (g,) networks that training does not change.
    alone: standard deviation of one network between seeds.
    paired: the same after what a seed does to all networks alike is taken out: it bears on
        differences between networks that were trained with the same seeds, known to `freedom`
        degrees of freedom. Both NaN while too few networks have several seeds.
    effects: seed -> what it does to all networks alike.
    trainings: that this was told from; those of exact networks too.
    """

    means: Floats
    exact: NDArray[np.bool_]
    alone: float
    paired: float
    freedom: int = 0
    effects: dict[int, float] = field(default_factory=dict)
    trainings: Trainings | None = None


def mean_over_seeds(
    values: Floats, group: Whole, seed: Whole, exact: NDArray[np.bool_] | None = None
) -> SeedNoise:
    """Return the mean of each network over its seeds, without what a seed does to all networks.

    values: (n,).
    group: (n,) number of the network, 0 to g-1, each present.
    seed: (n,) any labels.
    exact: (g,) networks known to be unchanged by training, such as the plain one under a probe
        (others that repeat are found anyhow).

    Without the correction a network that was trained only with an easy seed would look better
    than one that was trained with all. What a seed does is learnt from every network that had it
    (`MixedModel`): those with several seeds alone were mostly chosen for their luck with the
    first, which then seems to be easy. Seeds of networks with several average to zero.
    """
    count = np.bincount(group)
    raw = np.bincount(group, weights=values) / count
    squares = np.bincount(group, weights=(values - raw[group]) ** 2)
    same = (count > 1) & (squares <= (_EXACT * (1 + np.abs(raw))) ** 2)
    exact = same if exact is None else same | exact
    trainings = Trainings(group, seed, values)
    repeated = (count > 1) & ~exact
    if not repeated.any():
        return SeedNoise(raw, exact, math.nan, math.nan, trainings=trainings)
    freedom = int((count[repeated] - 1).sum())
    alone = math.sqrt(float(squares[repeated].sum()) / freedom)
    model = MixedModel(np.ones((len(count), 1)), trainings.of(~exact))
    used = repeated[group]
    paired, freedom = _paired(values[used], group[used], seed[used], model.shared_seeds)
    effects = model.seed_effects()
    theirs = np.unique(seed[used]).tolist()
    middle = float(np.mean([effects.get(label, 0.0) for label in theirs]))
    effects = {label: effects.get(label, 0.0) - middle for label in {*theirs, *effects}}
    labels, which = np.unique(seed, return_inverse=True)
    shift = np.array([effects.get(label, 0.0) for label in labels.tolist()])[which]
    fair = values - np.where(exact[group], 0.0, shift)
    means = np.bincount(group, weights=fair) / count
    return SeedNoise(means, exact, alone, paired, freedom, effects, trainings)


def _paired(values: Floats, group: Whole, seed: Whole, shared: Whole) -> tuple[float, int]:
    """Return the standard deviation within networks beside what shared seeds do, and its freedom.

    By least squares.
    """

    def within(columns: Floats) -> Floats:
        count = np.maximum(np.bincount(group), 1)
        means = [np.bincount(group, weights=column) / count for column in columns.T]
        return np.asarray(columns - np.stack(means, axis=1)[group])

    residuals = within(values[:, None])[:, 0]
    freedom = len(values) - len(np.unique(group))
    if len(shared):
        seeds = within((seed[:, None] == shared[None, :]).astype(np.float64))
        gram = seeds.T @ seeds
        residuals -= seeds @ (np.linalg.pinv(gram, hermitian=True) @ (seeds.T @ residuals))
        freedom -= int(np.linalg.matrix_rank(gram, hermitian=True))
    if freedom < 1:
        return math.nan, 0
    return math.sqrt(float(residuals @ residuals) / freedom), freedom
