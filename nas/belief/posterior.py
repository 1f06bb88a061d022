"""What noisy figures allow to believe of the true ones: draws of what they may be.

Of many networks that were trained once, the best was mostly lucky. So each is held against what
networks of its latency are worth (a line through all of them, and how far they lie from it), and
the less is known of it, the more it is drawn there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.spec.objective import Objective

__all__ = ["draws"]

Floats = NDArray[np.float64]
_FEW = 8  # networks: no line is drawn through fewer


def draws(
    columns: Mapping[str, NDArray[np.float64]],
    objectives: Sequence[Objective],
    freedom: int,
    *,
    count: int = 4000,
    seed: int = 0,
) -> Floats | None:
    """What the true figures may be, (count, n, m), minimised; None where the noise of training
    is not known.

    columns: (n,) each, as in `nas.study.front.network_table`. freedom: degrees of freedom that the
    noise between seeds is known to. Parameters and multiply-adds are exact, latencies known to
    their spread.
    """
    rng = np.random.default_rng(seed)
    costs = []
    for item in objectives:
        drawn = _drawn(item.name, columns, freedom, count, rng)
        if drawn is None:
            return None
        costs.append(item.sign * drawn)
    return np.stack(costs, axis=2)


def _drawn(
    name: str,
    columns: Mapping[str, NDArray[np.float64]],
    freedom: int,
    count: int,
    rng: np.random.Generator,
) -> Floats | None:
    """(count, n)."""
    values = np.asarray(columns[name], dtype=np.float64)
    usual = rng.standard_normal((count, len(values)))
    if name == "latency_ms":
        return np.asarray(values * (1 + columns["latency_spread"] * usual))
    if name == "retrained_accuracy":
        return _retrained(values, columns, usual, rng)
    if name not in {"loss", "accuracy"}:
        return np.broadcast_to(values, (count, len(values)))
    training = columns[f"paired_{name}"] ** 2 / columns["seeds"]
    if freedom < 1 or np.isnan(training).any():
        return None
    images = np.nan_to_num(columns["image_noise"]) ** 2
    if name == "accuracy":
        images = _of_images(values, columns)
    noise = training[None, :] * _unsure(freedom, count, rng)[:, None]
    expected, apart = _usual(values, np.asarray(columns["latency_ms"]), training)
    weight = np.ones_like(noise)
    if math.isfinite(apart):
        weight = apart / np.maximum(apart + noise, 1e-300)
    weight = np.where(noise == 0, 1.0, weight)
    # All were judged on the same images, so what those make is no reason to pull networks together.
    spread = np.sqrt(weight * noise + images)
    return np.asarray(expected + weight * (values - expected) + spread * usual)


def _retrained(
    values: Floats, columns: Mapping[str, Floats], usual: Floats, rng: np.random.Generator
) -> Floats | None:
    """(count, n). The spread of each is of a few seeds; all together tell how large it is."""
    seeds = columns["retrained_seeds"]
    more = np.maximum(seeds - 1, 0)
    freedom = int(more.sum())
    if freedom < 1:
        return None
    variance = float((more * np.nan_to_num(columns["retrained_spread"]) ** 2).sum() / freedom)
    training = variance / np.maximum(seeds, 1)
    noise = training[None, :] * _unsure(freedom, len(usual), rng)[:, None]
    return np.asarray(values + np.sqrt(noise + _of_images(values, columns)) * usual)


def _of_images(accuracies: Floats, columns: Mapping[str, Floats]) -> Floats:
    """Variance of accuracies that comes of which images there are."""
    return np.asarray(accuracies * (1 - accuracies) / np.maximum(columns["images"], 1))


def _unsure(freedom: int, count: int, rng: np.random.Generator) -> Floats:
    """(count,) by how much a variance that few repeats tell may be larger: Student's t."""
    return np.asarray(freedom / rng.chisquare(freedom, count))


def _usual(values: Floats, latency_ms: Floats, noise: Floats) -> tuple[Floats, float]:
    """What networks of such latencies are worth, (n,), and the variance about that; the values
    themselves where there are too few to tell.
    """
    if len(values) < _FEW or not (latency_ms > 0).all():
        return values, math.inf
    rows = np.stack([np.ones_like(values), np.log(latency_ms)], axis=1)
    weights = 1 / np.sqrt(noise + np.var(values) + 1e-300)
    line = np.linalg.lstsq(rows * weights[:, None], values * weights, rcond=None)[0]
    expected = rows @ line
    apart = float(((values - expected) ** 2).sum() / (len(values) - 2) - noise.mean())
    return expected, max(apart, 0.05 * float(np.var(values - expected)))
