"""The design of a measurement: which few networks of a pool teach most about the others."""

from __future__ import annotations

import numpy as np

from nas.base.errors import MeasurementError
from nas.latency.features import Floats, Integers, check_table

__all__ = ["choose"]

_CANDIDATES = 2000
_NOISE = 0.05  # of the features' prior variance: spreads the choice, hardly matters
_SWEEPS = 10


def choose(features: Floats, count: int, *, seed: int) -> Integers:
    """Choose which networks of a pool to measure.

    The choice is D-optimal: the measurements are as informative together as can be. It is greedy,
    then exchanged one by one until nothing is won. Same arguments, same choice.

    features: (n, d), scaled as `join` scales them: the scale is the prior.
    count: 1 to n.
    seed: draws 2,000 candidates from a larger pool.
    Returns row numbers (count,), none twice, in order of choice.
    Raises MeasurementError for another count, other shapes, NaN and infinity.
    """
    features = check_table(features, "features")
    if not 1 <= count <= len(features):
        raise MeasurementError(
            f"{count} networks to be chosen from a pool of {len(features)}; "
            f"ask for 1 to {len(features)}"
        )
    pool = np.arange(len(features))
    if len(pool) > max(_CANDIDATES, count):
        drawn = np.random.default_rng(seed).choice(pool, max(_CANDIDATES, count), replace=False)
        pool = np.sort(drawn)
    rows = features[pool]
    noise = _NOISE * float((rows**2).sum(axis=1).mean()) or 1.0
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(_unknown(rows, chosen, noise).argmax()))
    for _ in range(_SWEEPS):
        before = list(chosen)
        for position in range(count):
            others = chosen[:position] + chosen[position + 1 :]
            unknown = _unknown(rows, others, noise)
            best = int(unknown.argmax())
            if unknown[best] > unknown[chosen[position]] * (1 + 1e-6):
                chosen[position] = best
        if chosen == before:
            break
    return pool[chosen]


def _unknown(rows: Floats, chosen: list[int], noise: float) -> Floats:
    """Return the prior variance (n,) that is left when `chosen` are measured; -1 for these."""
    left = np.asarray((rows**2).sum(axis=1))
    if chosen:
        measured = rows[chosen]
        factor = np.linalg.cholesky(measured @ measured.T + noise * np.eye(len(chosen)))
        left -= (np.linalg.solve(factor, measured @ rows.T) ** 2).sum(axis=0)
        left[chosen] = -1.0
    return left
