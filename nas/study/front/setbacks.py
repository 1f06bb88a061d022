"""Networks that no answer recommends, since they are worse than the trained one they came from.

In the regime finetune a network that empties or replaces what a slot held has lost what was learnt
there. It may be on a front for being faster, which is no reason to take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.spec.architecture import EMPTY, Architecture
from nas.study.front.findings import LEVEL, MARGIN
from nas.study.front.network_table import NetworkTable
from nas.study.front.point import Point

__all__ = ["empties", "find_setbacks", "without_emptied"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]

_FINETUNE = "finetune"
_LIKELY = 0.5


def find_setbacks(
    measured: NetworkTable, rows: Whole, draw_gains: Callable[[Whole], Floats | None]
) -> Flags:
    """Return (k,) which networks are shown to lose more than the plain one that they came from.

    Of the regime finetune alone, and of those whose plain network (same backbone, resolution and
    run) was evaluated. With emptied slots, it is enough that they are likely to. Where the noise of
    training is not known, the figures count as they are.
    rows: (k,) numbers of networks of the table.
    draw_gains: of what networks (k,) gain in loss, (count, k), jointly.
    """
    worse = np.zeros(len(rows), dtype=np.bool_)
    plain = _own_plains(measured, rows)
    asked = np.flatnonzero((plain >= 0) & (plain != rows))
    if not asked.size:
        return worse
    ones, others = rows[asked], plain[asked]
    every = np.unique(np.concatenate([ones, others]))
    draws = draw_gains(every)
    if draws is None:
        loss = np.asarray(measured.columns["loss"], dtype=np.float64)
        worse[asked] = loss[ones] > loss[others] + MARGIN
        return worse
    lost = draws[:, np.searchsorted(every, others)] - draws[:, np.searchsorted(every, ones)]
    emptied = np.array([empties(item) for item in measured.architectures_of(ones)])
    worse[asked] = (lost > 0).mean(axis=0) >= np.where(emptied, _LIKELY, LEVEL)
    return worse


def _own_plains(measured: NetworkTable, rows: Whole) -> Whole:
    """Return the rows (k,) of the plain networks that networks came from; -1: none, or no regime
    in which they come from one.
    """
    runs, regimes = measured.columns["run"], measured.columns["regime"]
    tuned = np.flatnonzero(regimes[rows] == _FINETUNE)
    plain = np.full(len(rows), -1, dtype=np.int64)
    if not tuned.size:
        return plain
    named = np.flatnonzero(measured.columns["reference"] != None)  # noqa: E711
    places = {
        (runs[row], measured.architecture(row).digest): row
        for row in named.tolist()
        if not measured.architecture(row).insertions
    }
    for place in tuned.tolist():
        row = int(rows[place])
        own = measured.architecture(row).plain.digest
        plain[place] = places.get((runs[row], own), -1)
    return plain


def _has_emptied_slots(point: Point) -> bool:
    """Say whether a network is without something that its trained backbone came with."""
    return point.regime == _FINETUNE and empties(point.architecture)


def empties(architecture: Architecture) -> bool:
    """Say whether an architecture takes out what a slot came with, and puts nothing there."""
    return any(item.block == EMPTY for item in architecture.insertions)


def without_emptied(points: Sequence[Point]) -> list[Point]:
    """Leave out the networks with emptied slots, but for those that are shown to be better."""
    return [
        point
        for point in points
        if point.is_plain or not _has_emptied_slots(point) or point.p_better >= LEVEL
    ]
