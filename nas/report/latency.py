"""Latencies as they were known while the search ran, against those measured at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.study.trials import Trials

__all__ = ["Remeasured", "remeasured_latencies"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Remeasured:
    """Of n networks. trial: (n,), the first of each. before, after: (n,), ms; spread_before:
    relative half-width of the predictions' 90 % intervals, or the spread of the measurements.
    predicted: before is a device profile's prediction; otherwise it was measured beside trainings.
    """

    trial: NDArray[np.int64]
    before: Floats
    spread_before: Floats
    after: Floats
    spread_after: Floats
    predicted: bool

    @property
    def off(self) -> Floats:
        """(n,): how far the final measurement is from what was known before, relative."""
        return np.asarray(self.after / self.before - 1)

    @property
    def summary(self) -> str:
        """One sentence, for a caption."""
        count = len(self.trial)
        if not count:
            return "No network has been measured on the idle machine yet."
        how = "predicted" if self.predicted else "measured beside the trainings"
        far = np.abs(self.off) * 100
        text = (
            f"{count} networks, {how}, then measured on the idle machine: they differ by "
            f"{np.median(far):.1f} % (median), at most {far.max():.1f} %"
        )
        if self.predicted:
            inside = int(
                (np.abs(self.after - self.before) <= self.spread_before * self.before).sum()
            )
            text += f"; {inside} lie inside the 90 % interval of their prediction"
        return f"{text}."


def remeasured_latencies(trials: Trials) -> Remeasured:
    """Networks with both; several trainings of one network share the final measurement."""
    both = np.isfinite(trials["latency_ms"]) & np.isfinite(trials["final_latency_ms"])
    rows = np.flatnonzero(trials.complete & both)
    digests = trials["digest"][rows].astype(str)
    _, first, group, count = np.unique(
        digests, return_index=True, return_inverse=True, return_counts=True
    )

    def mean(name: str) -> Floats:
        return np.asarray(np.bincount(group, weights=trials[name][rows]) / count)

    return Remeasured(
        trial=trials["trial"][rows][first],
        before=mean("latency_ms"),
        spread_before=mean("latency_spread"),
        after=mean("final_latency_ms"),
        spread_after=mean("final_latency_spread"),
        predicted=bool(len(rows)) and bool((trials["latency_predicted"][rows] == 1).all()),
    )
