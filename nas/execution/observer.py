"""Observers: they hear what happens in a run, and change nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nas.base.clock import utc_now
from nas.study.record import PAUSED, Job, Record

if TYPE_CHECKING:  # a worker that evaluates has no use for Optuna
    from nas.strategy.search import Search

__all__ = ["EventLog", "Narrator", "Observer", "ObserverPair", "SilentObserver"]


class Observer(Protocol):
    """Whoever hears what happens in a run: a progress display, a log file, a test."""

    def stage(self, text: str) -> None:
        """Hear that a new part of the run has begun."""

    def step(self, done: int, total: int) -> None:
        """Hear how far the current part is."""

    def started(self, job: Job) -> None:
        """Hear that a worker has taken a job."""

    def finished(self, record: Record) -> None:
        """Hear that a trial has come to its end, or (PAUSED) to a rung where it waits."""

    def lost(self, job: Job, reason: str) -> None:
        """Hear that a worker died with a job, which is given out again."""

    def tick(self, search: Search) -> None:
        """Hear that some time has passed; at least once a second."""


class SilentObserver:
    """An observer that does nothing; the base of those that want to hear only some things."""

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


class Narrator(SilentObserver):
    """An observer that passes on which part of a run has begun, and nothing else."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def stage(self, text: str) -> None:
        self._say(text)


class EventLog:
    """An observer that writes what happens to a file, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _write(self, text: str) -> None:
        # The errors of workers come here as bytes, too: whatever is no UTF-8 is written as numbers.
        line = f"{utc_now()} {text}\n".encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError), self._path.open("ab") as file:
            file.write(line)

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
