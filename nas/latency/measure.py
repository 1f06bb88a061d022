"""The measurement of latency: interleaved visits in random order, an anchor, thread CPU time.

On a loaded machine wall medians repeat to 17 %, thread CPU time to about 1 %. What neighbours
do to caches and cores comes in bursts of seconds and only ever costs time, so each network is
visited over and over and its quietest visits count; what is left, an anchor network's own
quietest visits divide out.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import MeasurementError
from nas.latency.device import Clock
from nas.latency.runtime.runtime import Session
from nas.study.record import Latency

__all__ = ["Anchor", "Latency", "Subject", "measure_anchor", "measure_together"]

# Looked up when asked, so that a test may put another clock in the place of the system's.
_CLOCKS: dict[Clock, Callable[[], int]] = {
    "thread": lambda: time.thread_time_ns(),
    "process": lambda: time.process_time_ns(),
    "device": lambda: time.perf_counter_ns(),
    "wall": lambda: time.perf_counter_ns(),
}
_ALONE = 48
_WARM_UPS = 2
_LEAST_RUNS = 5
_LEAST_VISIT_MS = 8.0


@dataclass(frozen=True)
class Subject:
    """A loaded graph and the shape of the batch it reads, (N, C, H, W)."""

    session: Session
    shape: tuple[int, int, int, int]
    image: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        image = np.random.default_rng(0).standard_normal(self.shape, np.float32)
        object.__setattr__(self, "image", image)


@dataclass(frozen=True)
class Anchor:
    """The network that every measurement is taken beside, and its latency on this device."""

    subject: Subject
    latency_ms: float


@dataclass(frozen=True, slots=True)
class _Visit:
    cpu_ms: float
    wall_ms: float


def measure_together(
    subjects: Mapping[str, Subject],
    anchor: Anchor,
    *,
    seed: int,
    core: int | None = 0,
    clock: Clock = "thread",
    rounds: int = 12,
) -> dict[str, Latency]:
    """Measure one inference of a batch for each subject, round after round.

    anchor: is visited in every round, and divides out what slows all networks down.
    seed: of the order of visits.
    core: which of the usable cores to stay on, so that workers side by side take different
        ones; None for sessions with threads of their own, which all cores are for.
    clock: see `Clock`.
    rounds: visits to each; more reach over more bursts of other work.
    Returns latencies by the subjects' names.
    Raises MeasurementError when the clock stands still.
    """
    rng = random.Random(seed)
    visits: dict[str, list[_Visit]] = {name: [] for name in subjects}
    anchors: list[list[float]] = []
    with _one_core(core):
        for _ in range(rounds):
            # An anchor for every eight networks meets the same bursts as they do.
            order: list[str | None] = [*subjects, *[None] * (1 + len(subjects) // 8)]
            rng.shuffle(order)
            anchors.append([])
            for name in order:
                if name is None:
                    anchors[-1].append(_visit(anchor.subject, clock).cpu_ms)
                else:
                    visits[name].append(_visit(subjects[name], clock))
    if min(min(times) for times in anchors) <= 0:
        raise MeasurementError(f"the {clock} clock of this machine does not advance")
    return {name: _latency(own, anchors, anchor.latency_ms) for name, own in visits.items()}


def _latency(visits: list[_Visit], anchors: list[list[float]], anchor_ms: float) -> Latency:
    def latency_ms(rounds: slice) -> float:
        beside = [time for times in anchors[rounds] for time in times]
        return anchor_ms * _quiet([visit.cpu_ms for visit in visits[rounds]]) / _quiet(beside)

    even, odd = latency_ms(slice(0, None, 2)), latency_ms(slice(1, None, 2))
    return Latency(
        latency_ms=latency_ms(slice(None)),
        wall_ms=median(visit.wall_ms for visit in visits),
        spread=abs(even - odd) / (even + odd),
    )


def _quiet(values: Sequence[float]) -> float:
    """Return the mean of the lowest quarter.

    With five processes, 13 networks and 40 visits to each, ratios to an anchor so repeated to
    0.7 %; by the lower half to 0.8 %, by medians to 1.8 %, and when each visit was divided by
    the anchor's of its own round, to 1.2 % at best.
    """
    return mean(sorted(values)[: math.ceil(len(values) / 4)])


def measure_anchor(subject: Subject, *, core: int | None = 0, clock: Clock = "thread") -> float:
    """Measure an anchor by itself, from many visits, milliseconds.

    core, clock: see `measure_together`.
    """
    with _one_core(core):
        return _quiet([_visit(subject, clock).cpu_ms for _ in range(_ALONE)])


def _visit(subject: Subject, clock: Clock) -> _Visit:
    """Warm up, then time at least five runs, more when one takes little time.

    Their minimum counts: one interruption must not, and over visits it is no longer a minimum.
    """
    session, image, now = subject.session, subject.image, _CLOCKS[clock]
    started = time.perf_counter()
    for _ in range(_WARM_UPS):
        session(image)
    estimate_ms = (time.perf_counter() - started) * 1e3 / _WARM_UPS
    runs = max(_LEAST_RUNS, min(40, round(_LEAST_VISIT_MS / max(estimate_ms, 0.05))))
    cpu, wall = [], []
    for _ in range(runs):
        wall_start, cpu_start = time.perf_counter_ns(), now()
        session(image)
        # On a GPU events tell the time, not the clock of the thread that waits for them.
        cpu.append(getattr(session, "device_ms", (now() - cpu_start) / 1e6))
        wall.append((time.perf_counter_ns() - wall_start) / 1e6)
    return _Visit(min(cpu), median(wall))


@contextmanager
def _one_core(number: int | None) -> Iterator[None]:
    """Keep this thread on one core, where the system can: caches stay warm."""
    if number is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
        yield
    finally:
        os.sched_setaffinity(0, allowed)
