"""Executors: they carry out the jobs of a search, and decide nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from nas.base.clock import utc_now
from nas.study.record import PAUSED, Job, Outcome, Record

if TYPE_CHECKING:  # a worker that evaluates has no use for Optuna
    from nas.strategy.search import Search

__all__ = [
    "EventLog",
    "Executor",
    "LatencyMachine",
    "Observer",
    "ObserverPair",
    "SilentObserver",
    "lost_with_worker",
    "on_this_machine",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Observer(Protocol):
    """Hears what happens in a run: a progress display, a log file, a test."""

    def stage(self, text: str) -> None:
        """A new part of the run has begun."""

    def step(self, done: int, total: int) -> None:
        """How far the current part is."""

    def started(self, job: Job) -> None:
        """A worker has taken a job."""

    def finished(self, record: Record) -> None:
        """A trial has come to its end, or (PAUSED) to a rung where it waits."""

    def lost(self, job: Job, reason: str) -> None:
        """A worker died with a job, which is given out again."""

    def tick(self, search: Search) -> None:
        """Some time has passed; at least once a second."""


class SilentObserver:
    """An observer that does nothing; base of those that want to hear only some."""

    def stage(self, text: str) -> None:
        return None

    def step(self, done: int, total: int) -> None:
        return None

    def started(self, job: Job) -> None:
        return None

    def finished(self, record: Record) -> None:
        return None

    def lost(self, job: Job, reason: str) -> None:
        return None

    def tick(self, search: Search) -> None:
        return None


def lost_with_worker(job: Job, reason: str) -> Outcome:
    """Of a job whose worker died with it; the search decides whether it is given out again."""
    times = {0: "once", 1: "twice"}.get(job.attempt, f"{job.attempt + 1} times")
    return Outcome(failure=f"its worker died {times} ({reason})", lost=True)


class Executor(Protocol):
    """Asks, carries out and tells until the search is finished."""

    def run(self, search: Search, observer: Observer) -> None:
        """Returns when `search.finished`. Raises NasError when no job can be carried out;
        KeyboardInterrupt passes through after the workers are stopped.
        """


class LatencyMachine(Protocol):
    """The machine that latencies are of: calls a function there and returns what it returned."""

    def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...


def on_this_machine(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """A place that is this machine."""
    return function(*args, **kwargs)


class EventLog:
    """Writes what happens to events.log, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError), self._path.open("a") as file:
            file.write(f"{utc_now()} {text}\n")

    def stage(self, text: str) -> None:
        self._write(text)

    def step(self, done: int, total: int) -> None:
        return None

    def started(self, job: Job) -> None:
        self._write(f"trial {job.trial} started")

    def finished(self, record: Record) -> None:
        cause = f": {record.failure}" if record.failure else ""
        cause = f" at rung {record.rung + 1}" if record.state == PAUSED else cause
        self._write(f"trial {record.trial} {record.state}{cause}")

    def lost(self, job: Job, reason: str) -> None:
        self._write(f"trial {job.trial} given out again: its worker was {reason}")

    def tick(self, search: Search) -> None:
        return None


class ObserverPair:
    """Two observers as one."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._observers = (first, second)

    def stage(self, text: str) -> None:
        for observer in self._observers:
            observer.stage(text)

    def step(self, done: int, total: int) -> None:
        for observer in self._observers:
            observer.step(done, total)

    def started(self, job: Job) -> None:
        for observer in self._observers:
            observer.started(job)

    def finished(self, record: Record) -> None:
        for observer in self._observers:
            observer.finished(record)

    def lost(self, job: Job, reason: str) -> None:
        for observer in self._observers:
            observer.lost(job, reason)

    def tick(self, search: Search) -> None:
        for observer in self._observers:
            observer.tick(search)
