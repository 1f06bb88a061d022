"""Measuring latency: interleaved visits in random order, an anchor, thread CPU time.

On a loaded machine wall medians repeat to 17 %, thread CPU time to about 1 % (FACTS,
section 4). What is left of the drift is divided out by an anchor network that is visited
in every round.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from nas.errors import MeasurementError
from nas.latency.runtime import Session

__all__ = ["Anchor", "Latency", "Subject", "measure_anchor", "measure_together"]

_ROUNDS = 8
_WARM_UPS = 2
_LEAST_RUNS = 5
_LEAST_VISIT_MS = 8.0


@dataclass(frozen=True)
class Subject:
    """A loaded network and the side of the square image it reads."""

    session: Session
    resolution: int
    image: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = (1, 3, self.resolution, self.resolution)
        image = np.random.default_rng(0).standard_normal(shape, np.float32)
        object.__setattr__(self, "image", image)


@dataclass(frozen=True)
class Anchor:
    """The network that every measurement is taken beside, and its latency on this device."""

    subject: Subject
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Latency:
    """latency_ms: of one inference, thread CPU time; wall_ms: by the clock on the wall.
    spread: relative half-difference between the even and the odd rounds.
    """

    latency_ms: float
    wall_ms: float
    spread: float


@dataclass(frozen=True, slots=True)
class _Visit:
    cpu_ms: float
    wall_ms: float


def measure_together(
    subjects: Mapping[str, Subject], anchor: Anchor, *, seed: int, core: int = 0
) -> dict[str, Latency]:
    """Measure one inference of one image for each subject, round after round.

    core: which of the usable cores to stay on, so that workers side by side take different ones.

    Single-threaded sessions only: a thread's CPU time does not see what other threads do.
    Raises MeasurementError when the thread clock stands still.
    """
    rng = random.Random(seed)
    visits: dict[str, list[_Visit]] = {name: [] for name in subjects}
    anchors: list[float] = []
    with _one_core(core):
        for _ in range(_ROUNDS):
            # An anchor for every eight networks keeps it near to each of them.
            order: list[str | None] = [*subjects, *[None] * (1 + len(subjects) // 8)]
            rng.shuffle(order)
            beside = []
            for name in order:
                if name is None:
                    beside.append(_visit(anchor.subject).cpu_ms)
                else:
                    visits[name].append(_visit(subjects[name]))
            anchors.append(median(beside))
    if min(anchors) <= 0:
        raise MeasurementError("the thread clock of this machine does not advance")
    return {name: _latency(found, anchors, anchor) for name, found in visits.items()}


def _latency(visits: list[_Visit], anchors: list[float], anchor: Anchor) -> Latency:
    ratios = [visit.cpu_ms / beside for visit, beside in zip(visits, anchors, strict=True)]
    even, odd = median(ratios[::2]), median(ratios[1::2])
    return Latency(
        latency_ms=median(ratios) * anchor.latency_ms,
        wall_ms=median(visit.wall_ms for visit in visits),
        spread=abs(even - odd) / (even + odd),
    )


def measure_anchor(subject: Subject) -> float:
    """Thread CPU milliseconds of the anchor by itself: the median of many visits."""
    with _one_core(0):
        return median(_visit(subject).cpu_ms for _ in range(3 * _ROUNDS))


def _visit(subject: Subject) -> _Visit:
    """Warm-ups, then timed runs: at least five, more when one takes little time."""
    session, image = subject.session, subject.image
    started = time.perf_counter()
    for _ in range(_WARM_UPS):
        session(image)
    estimate_ms = (time.perf_counter() - started) * 1e3 / _WARM_UPS
    runs = max(_LEAST_RUNS, min(40, round(_LEAST_VISIT_MS / max(estimate_ms, 0.05))))
    cpu, wall = [], []
    for _ in range(runs):
        wall_start, cpu_start = time.perf_counter_ns(), time.thread_time_ns()
        session(image)
        cpu.append((time.thread_time_ns() - cpu_start) / 1e6)
        wall.append((time.perf_counter_ns() - wall_start) / 1e6)
    return _Visit(median(cpu), median(wall))


@contextmanager
def _one_core(number: int) -> Iterator[None]:
    """Keep this thread on one core, where the system can: caches stay warm."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
        yield
    finally:
        os.sched_setaffinity(0, allowed)
