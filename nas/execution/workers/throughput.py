"""The throughput of trainings beside each other on a GPU: processes, watched for seconds."""

from __future__ import annotations

import json
import queue
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

from nas.base.machine import usable_cores
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.side_by_side import Measured, SideBySide, choose_number
from nas.execution.workers.child_process import ChildProcess
from nas.spec.side_by_side import Placed
from nas.training.device import best_device
from nas.training.placement import free_memory

__all__ = ["ThroughputGauge", "free_bytes", "measure_side_by_side"]

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
    choices = []
    for placement in placements:
        with ThroughputGauge(
            {"spec": spec.to_dict(), "architecture": architecture},
            threads=threads,
            log=log,
            gpu=gpus[0],
            memory=partial(free_bytes, device),
            placement=placement,
        ) as gauge:
            most = max(1, usable_cores() // threads // len(gpus))
            choices.append(choose_number(gauge.measure, most, placement))
        say(str(choices[-1]))
    best = max(choices, key=lambda chosen: chosen.images)
    if len(choices) > 1:
        say(f"{best.placement} are taken: {best.images:,.0f} images a second")
    return best


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes of memory that are free on a device; None where it does not say."""
    known = free_memory(device)
    return None if known is None else known[0]


Report = tuple[float, float]
"""Images so far, and when, seconds."""


class ThroughputGauge:
    """Measures the throughput of trainings beside each other, of ever more of them at a time.

    A context: all processes are ended with it. Until then they go on, so that each is begun once;
    one of several trainings is begun anew for each number of them.
    """

    def __init__(
        self,
        start: dict[str, Any],
        *,
        threads: int,
        log: Path,
        gpu: str | None,
        memory: Callable[[], int | None],
        placement: Placed = "processes",
        program: Sequence[str] = PROGRAM,
        watched: float = _WATCHED_SECONDS,
    ) -> None:
        """Begin nothing yet.

        start: the spec of evaluators and an architecture, for each process.
        threads: of each.
        log: file that takes what they print.
        gpu: what CUDA calls the one that they share; None: the process's own.
        memory: what is free on the device, bytes.
        placement: of the trainings: each in a process, or all in one.
        program: what each runs, which must speak as `nas.execution.workers.throughput_worker` does.
        watched: seconds at least, once all have begun.
        """
        self.start = start
        self.threads = threads
        self.log = log
        self.gpu = gpu
        self.memory = memory
        self.placement = placement
        self.program = program
        self.watched = watched
        self._inbox: queue.Queue[tuple[int, str | None]] = queue.Queue()
        self._children: list[ChildProcess] = []
        self._free = memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._children)

    def measure(self, number: int) -> Measured | None:
        """Measure so many trainings at a time, at least as many as before.

        None: one of them ended, or they did not all report in time.
        """
        reports = self._watch(self._begin(number))
        if reports is None:
            return None
        free = self.memory()
        taken = 0 if self._free is None or free is None else max(0, self._free - free)
        return Measured(number, sum(map(_rate, reports)), taken, self._free)

    def _begin(self, trainings: int) -> range:
        """Begin what does not run yet, and return the numbers of the children that count."""
        if self.placement == "streams":
            _end(self._children)
            self._begin_child(trainings)
            return range(len(self._children) - 1, len(self._children))
        while len(self._children) < trainings:
            self._begin_child(1)
        return range(trainings)

    def _begin_child(self, trainings: int) -> None:
        number = len(self._children)
        child = ChildProcess(
            self.program,
            threads=self.threads,
            log=self.log,
            heard=lambda line: self._inbox.put((number, line)),
            environment={} if self.gpu is None else {"CUDA_VISIBLE_DEVICES": self.gpu},
        )
        self._children.append(child)
        child.write(self.start | {"at_a_time": trainings})

    def _watch(self, children: range) -> list[list[Report]] | None:
        """Return what each child reports while all of them train; None where one does not."""
        reports: dict[int, list[Report]] = {child: [] for child in children}
        deadline, since = time.monotonic() + _PATIENCE_SECONDS, None
        while (
            since is None
            or time.monotonic() < since + self.watched
            or any(len(report) < _REPORTS for report in reports.values())
        ):
            if time.monotonic() > deadline:
                return None
            try:
                child, line = self._inbox.get(timeout=0.1)
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
        return list(reports.values())


def _end(children: Sequence[ChildProcess]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.wait(_STOP_SECONDS)


def _rate(reports: Sequence[Report]) -> float:
    """Return the images a second between the first report and the last."""
    (first, began), (last, ended) = reports[0], reports[-1]
    return (last - first) / (ended - began)
