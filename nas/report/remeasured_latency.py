"""Latencies as they were known while the search ran, beside those measured at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.study.trials import Trials

__all__ = ["RemeasuredLatency", "compare_latencies"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RemeasuredLatency:
    """Latencies of the n networks that were measured once more on the idle machine.

    trial: (n,), the first of each network.
    before: (n,), ms, as known while the search ran.
    spread_before: (n,), relative half-width of the predictions' 90 % intervals, or the spread of
        the measurements.
    after: (n,), ms, on the idle machine.
    spread_after: (n,), spread of those measurements.
    predicted: whether before is a device profile's prediction; otherwise it was measured beside
        trainings.
    """

    trial: NDArray[np.int64]
    before: Floats
    spread_before: Floats
    after: Floats
    spread_after: Floats
    predicted: bool

    @property
    def off(self) -> Floats:
        """(n,) relative differences of the final measurements from what was known before."""
        return np.asarray(self.after / self.before - 1)

    @property
    def inside(self) -> int:
        """The number of networks whose final measurement lies inside the spread before."""
        return int((np.abs(self.after - self.before) <= self.spread_before * self.before).sum())


def compare_latencies(trials: Trials) -> RemeasuredLatency:
    """Return the networks that have both latencies.

    Several trainings of one network share the final measurement; they are averaged.
    """
    both = np.isfinite(trials["latency_ms"]) & np.isfinite(trials["final_latency_ms"])
    rows = np.flatnonzero(trials.complete & both)
    digests = trials["digest"][rows].astype(str)
    _, first, group, count = np.unique(
        digests, return_index=True, return_inverse=True, return_counts=True
    )

    def mean(name: str) -> Floats:
        return np.asarray(np.bincount(group, weights=trials[name][rows]) / count)

    return RemeasuredLatency(
        trial=trials["trial"][rows][first],
        before=mean("latency_ms"),
        spread_before=mean("latency_spread"),
        after=mean("final_latency_ms"),
        spread_after=mean("final_latency_spread"),
        predicted=bool(len(rows)) and bool((trials["latency_predicted"][rows] == 1).all()),
    )
