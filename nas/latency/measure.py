"""Measuring latency: interleaved visits in random order, an anchor, thread CPU time.

On a loaded machine wall medians repeat to 17 %, thread CPU time to about 1 % (FACTS,
section 4). What is left of the drift is divided out by an anchor network that is visited
in every round.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas.errors import MeasurementError
from nas.latency.runtime import Session

__all__ = ["Anchor", "Clock", "Latency", "Subject", "measure_anchor", "measure_together"]

Clock = Literal["thread", "process", "device", "wall"]
# Looked up when asked, so that a test may put another clock in the place of the system's.
_CLOCKS: dict[Clock, Callable[[], int]] = {
    "thread": lambda: time.thread_time_ns(),
    "process": lambda: time.process_time_ns(),
    "device": lambda: time.perf_counter_ns(),
    "wall": lambda: time.perf_counter_ns(),
}
_ALONE = 24
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
    """The network that every measurement is taken beside, and its latency on this device.

    heavier: a slower one. What neighbours on the machine do costs convolutions and the small
    operations of attention unlike shares: with one anchor alone, networks with much attention
    were 5 % off from one minute to another; between two they are not.
    """

    subject: Subject
    latency_ms: float
    heavier: Anchor | None = None

    def visited(self, clock: Clock) -> _Beside:
        """Time both, now."""
        light = _visit(self.subject, clock).cpu_ms
        return _Beside(light, _visit(self.heavier.subject, clock).cpu_ms if self.heavier else None)

    def corrected(self, cpu_ms: float, beside: _Beside) -> float:
        """What a time measured beside the anchors comes to when they take their own."""
        if self.heavier is None or beside.heavy_ms is None:
            return cpu_ms / beside.light_ms * self.latency_ms
        apart = beside.heavy_ms - beside.light_ms
        if apart <= 0.1 * beside.light_ms:
            return cpu_ms / beside.light_ms * self.latency_ms
        slope = (self.heavier.latency_ms - self.latency_ms) / apart
        return self.latency_ms + (cpu_ms - beside.light_ms) * slope


@dataclass(frozen=True, slots=True)
class _Beside:
    """The anchors' own times in one round."""

    light_ms: float
    heavy_ms: float | None


@dataclass(frozen=True, slots=True)
class Latency:
    """latency_ms: of one inference, by the clock asked for; wall_ms: by the clock on the wall.
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
    subjects: Mapping[str, Subject],
    anchor: Anchor,
    *,
    seed: int,
    core: int | None = 0,
    clock: Clock = "thread",
    rounds: int = 8,
) -> dict[str, Latency]:
    """Measure one inference of a batch for each subject, round after round.

    core: which of the usable cores to stay on, so that workers side by side take different
    ones; None for sessions with threads of their own, which all cores are for.
    clock: `thread` is right for sessions that compute on the calling thread, since a thread's
    CPU time holds beside other work; it does not see what other threads do. `process` sees
    them as well, added up; `device` takes what CUDA events told the session; `wall` is what is
    left, and wants an idle machine.
    rounds: visits to each; the error falls with their square root.
    Raises MeasurementError when the clock stands still.
    """
    rng = random.Random(seed)
    visits: dict[str, list[_Visit]] = {name: [] for name in subjects}
    anchors: list[_Beside] = []
    with _one_core(core):
        for _ in range(rounds):
            # An anchor for every eight networks keeps it near to each of them.
            order: list[str | None] = [*subjects, *[None] * (1 + len(subjects) // 8)]
            rng.shuffle(order)
            beside = []
            for name in order:
                if name is None:
                    beside.append(anchor.visited(clock))
                else:
                    visits[name].append(_visit(subjects[name], clock))
            anchors.append(_middle(beside))
    if min(item.light_ms for item in anchors) <= 0:
        raise MeasurementError(f"the {clock} clock of this machine does not advance")
    return {name: _latency(found, anchors, anchor) for name, found in visits.items()}


def _middle(beside: list[_Beside]) -> _Beside:
    heavy = [item.heavy_ms for item in beside if item.heavy_ms is not None]
    return _Beside(median(item.light_ms for item in beside), median(heavy) if heavy else None)


def _latency(visits: list[_Visit], anchors: list[_Beside], anchor: Anchor) -> Latency:
    times = [
        anchor.corrected(visit.cpu_ms, beside)
        for visit, beside in zip(visits, anchors, strict=True)
    ]
    even, odd = _typical(times[::2]), _typical(times[1::2])
    return Latency(
        latency_ms=_typical(times),
        wall_ms=median(visit.wall_ms for visit in visits),
        spread=abs(even - odd) / (even + odd),
    )


def _typical(values: Sequence[float]) -> float:
    """The mean of the lower half. What other work does to a CPU's caches only ever costs time:
    where its neighbours were busy, this repeated to 1.2 % where medians repeated to 1.9 %.
    """
    return mean(sorted(values)[: len(values) // 2 + 1])


def measure_anchor(subject: Subject, *, core: int | None = 0, clock: Clock = "thread") -> float:
    """Milliseconds of the anchor by itself, from many visits."""
    with _one_core(core):
        return _typical([_visit(subject, clock).cpu_ms for _ in range(_ALONE)])


def _visit(subject: Subject, clock: Clock) -> _Visit:
    """Warm-ups, then timed runs: at least five, more when one takes little time. Their minimum:
    one interruption must not count, and over visits it is no longer a minimum.
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
