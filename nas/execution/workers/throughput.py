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

from nas.execution.side_by_side import Measured
from nas.execution.workers.child_process import ChildProcess

__all__ = ["throughput_gauge"]

PROGRAM = (sys.executable, "-m", "nas.execution.workers.throughput_worker")

_WATCHED_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0  # until all have told, also with their choice of convolutions
_REPORTS = 3  # of each training, at least, however slow it is
_STOP_SECONDS = 5

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
    program: Sequence[str] = PROGRAM,
    watched: float = _WATCHED_SECONDS,
) -> Iterator[Callable[[int], Measured | None]]:
    """Yield what measures so many trainings at a time, each time at least as many as before.

    Those that run go on, so that each is begun once; all are ended with the context.

    start: the spec of evaluators and an architecture, for each of them.
    threads: of each.
    log: file that takes what they print.
    gpu: what CUDA calls the one that they share; None: the process's own.
    memory: what is free on the device, bytes.
    program: what each runs, which must speak as `nas.execution.workers.throughput_worker` does.
    watched: seconds at least, once all have begun.
    """
    inbox: queue.Queue[tuple[int, str | None]] = queue.Queue()
    children: list[ChildProcess] = []
    free = memory()

    def begin() -> None:
        number = len(children)
        child = ChildProcess(
            program,
            threads=threads,
            log=log,
            heard=lambda line: inbox.put((number, line)),
            environment={} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu},
        )
        children.append(child)
        child.write(start)

    def measure(number: int) -> Measured | None:
        while len(children) < number:
            begin()
        reports: dict[int, list[Report]] = {child: [] for child in range(number)}
        deadline, since = time.monotonic() + _PATIENCE_SECONDS, None
        while (
            since is None
            or time.monotonic() < since + watched
            or any(len(said) < _REPORTS for said in reports.values())
        ):
            if time.monotonic() > deadline:
                return None
            try:
                child, line = inbox.get(timeout=0.1)
            except queue.Empty:
                continue
            if line is None:
                return None
            said = json.loads(line)
            reports[child].append((said["images"], said["at"]))
            if since is None and all(reports.values()):
                since = time.monotonic()
                reports = {child: [] for child in reports}
        now = memory()
        taken = 0 if free is None or now is None else max(0, free - now)
        return Measured(number, sum(map(_rate, reports.values())), taken, free)

    try:
        yield measure
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(_STOP_SECONDS)


def _rate(reports: Sequence[Report]) -> float:
    """Return the images a second between the first report and the last."""
    (first, began), (last, ended) = reports[0], reports[-1]
    return (last - first) / (ended - began)
