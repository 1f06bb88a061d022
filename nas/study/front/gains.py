"""What networks may save in loss on the plain one, and whether another is better and as fast.

By the noise of short trainings where nothing is believed of full training (`believed.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.belief.claims import interval, probability_on_front
from nas.belief.posterior import draw_figure
from nas.spec.architecture import PLAIN
from nas.study.front.believed_gain import GAIN_LEVEL
from nas.study.front.network_table import NetworkTable
from nas.study.front.point import Point

__all__ = [
    "UNKNOWN",
    "Gain",
    "believed_gains",
    "chances_on_front",
    "draw_gains",
    "gain_of_point",
    "plain_rows",
]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_DRAWS = 4000
_MANY = 1000
_BESIDE = 300  # networks that may be better than those shown, at most


@dataclass(frozen=True, slots=True)
class Gain:
    """What a network is believed to save in loss against the plain one.

    gain: as expected; it is shrunk, since what looked good was partly lucky.
    low, high: the ends of its 90 % interval.
    p_better: probability that it is above zero.
    p_front: probability that no evaluated network is better at no more latency.
    All are NaN where the noise of training is not known, or there is no plain network.
    """

    gain: float
    low: float
    high: float
    p_better: float
    p_front: float


UNKNOWN = Gain(math.nan, math.nan, math.nan, math.nan, math.nan)
"""Of a network of which nothing can be told."""


def gain_of_point(point: Point, p_front: float) -> Gain:
    """Return what a point is believed to save in loss by full training."""
    return Gain(
        point.gain_loss,
        point.gain_loss_low,
        point.gain_loss_high,
        math.nan if point.is_plain else point.p_better_loss,
        p_front,
    )


def draw_gains(measured: NetworkTable, rows: Whole, *, count: int = _DRAWS) -> Floats | None:
    """Draw what networks may gain in loss on the plain one, (count, k), jointly.

    rows: (k,) numbers of networks of the table. Where there is no plain network, draws are of
    minus the loss: their differences mean the same. Where several runs are looked at together,
    each network is held against the plain one of its run.
    None where the noise of training is not known.
    """
    plain = plain_rows(measured, rows)
    every = np.unique(np.append(rows, plain[plain >= 0]))
    losses = draw_figure(
        "loss", measured.columns, measured.noises, every, count, np.random.default_rng(0)
    )
    if losses is None:
        return None
    own = losses[:, np.searchsorted(every, rows)]
    if (plain < 0).any():
        return np.asarray(-own)
    return np.asarray(losses[:, np.searchsorted(every, plain)] - own)


def plain_rows(measured: NetworkTable, rows: Whole) -> Whole:
    """Return the number of the plain network of the run of each network, (k,); -1: none."""
    runs = measured.columns["run"]
    plain = {runs[row]: row for row in np.flatnonzero(measured.columns["reference"] == PLAIN)[::-1]}
    return np.array([plain.get(runs[row], -1) for row in rows], dtype=np.int64)


def believed_gains(
    measured: NetworkTable, rows: Whole, beside: Whole | None = None
) -> tuple[Gain, ...]:
    """Return what each of some networks is believed to gain.

    beside: others that might be better at no more latency; of very many the best by their figures.
    """
    shown, rows = len(rows), np.asarray(rows)
    if beside is not None:
        rows = _with_rivals(measured, rows, beside)
    plain = plain_rows(measured, rows)
    # Of thousands of networks fewer draws are enough, and fit into memory.
    count = _DRAWS if len(rows) <= _MANY else _DRAWS // 4
    known = len(rows) > 0 and bool((plain >= 0).all())
    draws = draw_gains(measured, rows, count=count) if known else None
    if draws is None:
        return (UNKNOWN,) * shown
    low, high = interval(draws, GAIN_LEVEL)
    better = (draws > 0).mean(axis=0)
    on_front = probability_on_front(draws, np.asarray(measured.columns["latency_ms"])[rows])
    table = np.stack([draws.mean(axis=0), low, high, better, on_front], axis=1)[:shown]
    return tuple(
        Gain(0.0, 0.0, 0.0, math.nan, values[-1]) if same else Gain(*values)
        for same, values in zip((plain == rows)[:shown], table.tolist(), strict=True)
    )


def chances_on_front(
    measured: NetworkTable, rows: Whole, beside: Whole, draw: Callable[[Whole], Floats | None]
) -> list[float]:
    """Return the probability of each of some networks that none is better at no more latency.

    beside: as `believed_gains` has it.
    draw: of what networks (k,) gain, (count, k); None where nothing is known, and all are NaN then.
    """
    every = _with_rivals(measured, rows, beside)
    draws = draw(every)
    if draws is None:
        return [math.nan] * len(rows)
    latencies = np.asarray(measured.columns["latency_ms"])[every]
    return [float(chance) for chance in probability_on_front(draws, latencies)[: len(rows)]]


def _with_rivals(measured: NetworkTable, rows: Whole, beside: Whole) -> Whole:
    """Return rows, and behind them the others with the least loss."""
    others = np.setdiff1d(beside, rows)
    best = np.argsort(measured.columns["loss"][others], kind="stable")[:_BESIDE]
    return np.concatenate([rows, others[best]])
