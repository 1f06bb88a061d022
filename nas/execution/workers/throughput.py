"""The throughput of trainings beside each other on a GPU: processes, watched for seconds."""

from __future__ import annotations

import json
import queue
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.base.machine import usable_cores
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.side_by_side import Measured, SideBySide, choose_number
from nas.execution.workers.child_process import ChildProcess
from nas.spec.side_by_side import Placed
from nas.training.device import best_device
from nas.training.placement import free_memory

__all__ = ["measure_side_by_side", "throughput_gauge"]

PROGRAM = (sys.executable, "-m", "nas.execution.workers.throughput_worker")

_WATCHED_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0  # until all have told, also with their choice of convolutions
_REPORTS = 3  # of each training, at least, however slow it is
_STOP_SECONDS = 5


def measure_side_by_side(
    spec: EvaluatorSpec,
    architecture: str,
    *,
    gpus: Sequence[str],
    placements: Sequence[Placed],
    log: Path,
    say: Callable[[str], None],
) -> SideBySide:
    """Choose how many trainings at a time use each GPU best, and where, by seconds on the first.

    spec: what they are trained by.
    architecture: canonical JSON of the network that is trained, which must have blocks.
    gpus: what CUDA calls them.
    placements: that are tried; the fastest is taken.
    log: file that takes what trainings print.
    say: hears what was found, a line each.
    """
    say("measuring how many trainings at a time use a GPU best")
    threads, device = spec.proxy.threads, best_device()

    def memory() -> int | None:
        known = free_memory(device)
        return None if known is None else known[0]

    choices = []
    for placement in placements:
        gauge = throughput_gauge(
            {"spec": spec.to_dict(), "architecture": architecture},
            threads=threads,
            log=log,
            gpu=gpus[0],
            memory=memory,
            placement=placement,
        )
        with gauge as measure:
            most = max(1, usable_cores() // threads // len(gpus))
            choices.append(choose_number(measure, most, placement))
        say(str(choices[-1]))
    best = max(choices, key=lambda chosen: chosen.images)
    if len(choices) > 1:
        say(f"{best.placement} are taken: {best.images:,.0f} images a second")
    return best


Report = tuple[float, float]
"""Images so far, and when, seconds."""


@contextmanager
def throughput_gauge(
    start: dict[str, Any],
    *,
    threads: int,
    log: Path,
    gpu: str | None,
    memory: Callable[[], int | None],
    placement: Placed = "processes",
    program: Sequence[str] = PROGRAM,
    watched: float = _WATCHED_SECONDS,
) -> Iterator[Callable[[int], Measured | None]]:
    """Yield what measures so many trainings at a time, each time at least as many as before.

    Processes that run go on, so that each is begun once; one of several trainings is begun anew
    for each number of them. All are ended with the context.

    start: the spec of evaluators and an architecture, for each of them.
    threads: of each.
    log: file that takes what they print.
    gpu: what CUDA calls the one that they share; None: the process's own.
    memory: what is free on the device, bytes.
    placement: of the trainings: each in a process, or all in one.
    program: what each runs, which must speak as `nas.execution.workers.throughput_worker` does.
    watched: seconds at least, once all have begun.
    """
    inbox: queue.Queue[tuple[int, str | None]] = queue.Queue()
    children: list[ChildProcess] = []
    free = memory()

    def begin(trainings: int) -> None:
        number = len(children)
        child = ChildProcess(
            program,
            threads=threads,
            log=log,
            heard=lambda line: inbox.put((number, line)),
            environment={} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu},
        )
        children.append(child)
        child.write(start | {"at_a_time": trainings})

    def measure(number: int) -> Measured | None:
        running = range(number)
        if placement == "streams":
            _end(children)
            running = range(len(children), len(children) + 1)
            begin(number)
        while len(children) < running.stop:
            begin(1)
        reports: dict[int, list[Report]] = {child: [] for child in running}
        deadline, since = time.monotonic() + _PATIENCE_SECONDS, None
        while (
            since is None
            or time.monotonic() < since + watched
            or any(len(report) < _REPORTS for report in reports.values())
        ):
            if time.monotonic() > deadline:
                return None
            try:
                child, line = inbox.get(timeout=0.1)
            except queue.Empty:
                continue
            if child not in reports:  # one that was ended
                continue
            if line is None:
                return None
            report = json.loads(line)
            reports[child].append((report["images"], report["at"]))
            if since is None and all(reports.values()):
                since = time.monotonic()
                reports = {child: [] for child in reports}
        now = memory()
        taken = 0 if free is None or now is None else max(0, free - now)
        return Measured(number, sum(map(_rate, reports.values())), taken, free)

    try:
        yield measure
    finally:
        _end(children)


def _end(children: Sequence[ChildProcess]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.wait(_STOP_SECONDS)


def _rate(reports: Sequence[Report]) -> float:
    """Return the images a second between the first report and the last."""
    (first, began), (last, ended) = reports[0], reports[-1]
    return (last - first) / (ended - began)
