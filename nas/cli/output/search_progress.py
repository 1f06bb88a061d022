"""The progress of a search: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from nas.base.formats import format_milliseconds
from nas.cli.output.formats import format_clock, summarise_blocks
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.width import describe_reference
from nas.study.record import COMPLETE, FAILED, PAUSED, Job, Record

if TYPE_CHECKING:
    from nas.execution.observer import Observer
    from nas.strategy.search import Search

__all__ = ["watch_search"]

_PLAIN_STEPS = 4  # lines that a long step gets without a terminal


@contextmanager
def watch_search(screen: Console) -> Iterator[Observer]:
    """Show a run while the context is open; it gives the observer that does."""
    if not screen.is_terminal:
        yield _EventLines(screen)
        return
    display = _LiveBar(screen)
    with Live(display, console=screen, refresh_per_second=4, transient=True):
        yield display


class _EventLines:
    """The observer that prints a line for every event, with the run's clock at its start."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self.workers = 1
        self.began = time.monotonic()
        self.done = self.failed = self.total = 0
        self._counted: set[int] = set()
        self.running: dict[int, Job] = {}
        self.best: Record | None = None
        self.plain_loss: float | None = None
        self.step_began = self.began
        self._quarter = 0
        self._seconds: list[float] = []
        self._estimated_at: int | None = None
        self._limit = math.inf

    # As an Observer

    def stage(self, text: str) -> None:
        self.step_began = time.monotonic()
        self._quarter = 0
        self.say(text)

    def step(self, done: int, total: int) -> None:
        quarter = done * _PLAIN_STEPS // total
        if quarter > self._quarter:
            self._quarter = quarter
            spent = time.monotonic() - self.step_began
            self.say(f"  {done}/{total} steps, {format_clock(spent * (total - done) / done)} left")

    def started(self, job: Job) -> None:
        self.running[job.trial] = job
        self.workers = max(self.workers, len(self.running))

    def finished(self, record: Record) -> None:
        self.count(record)
        self.say(f"[{self.done}/{self.total or '?'}] {self.describe(record)}{self.left()}")

    def lost(self, job: Job, reason: str) -> None:
        self.running.pop(job.trial, None)
        self.say(f"trial {job.trial}: its worker was {reason}; it is tried again")

    def tick(self, search: Search) -> None:
        if not self.done:  # a resumed run has a past
            settled = [
                record for record in search.records if record.finished or record.loss is not None
            ]
            self._counted = {record.trial for record in settled}
            self.done = len(settled)
            self.failed = sum(record.state == FAILED for record in settled)
            for record in settled:
                self._note(record)
        if self.done != self._estimated_at:
            self._estimated_at = self.done
            self.total = search.expected_trials()
        self._limit = search.remaining_seconds

    # What it prints

    def say(self, text: str) -> None:
        """Print a line behind the run's clock."""
        self.screen.print(f"{format_clock(time.monotonic() - self.began)}  {text}")

    def count(self, record: Record) -> None:
        """Take note of a trial that has come to its end, or to a rung."""
        self.running.pop(record.trial, None)
        # What goes on to a higher rung has been counted.
        self._counted.add(record.trial)
        self.done = len(self._counted)
        self.failed += record.state == FAILED
        if record.seconds:
            self._seconds.append(record.seconds)
        self._note(record)

    def _note(self, record: Record) -> None:
        if record.state != COMPLETE or record.loss is None:
            return
        if record.reference == PLAIN:
            self.plain_loss = record.loss
        if self.best is None or self.best.loss is None or record.loss < self.best.loss:
            self.best = record

    def describe(self, record: Record) -> str:
        """Say what came of a trial."""
        architecture = Architecture.from_json(record.architecture)
        name = (
            f"{record.reference} ({describe_reference(record.reference)})"
            if record.reference
            else summarise_blocks(architecture)
        )
        again = f" seed {record.repeat + 1}" if record.repeat else ""
        if record.state not in {COMPLETE, PAUSED}:
            return f"trial {record.trial}{again} {record.state}: {record.failure}; {name}"
        if record.state == PAUSED:
            again = f" at rung {record.rung + 1}"
        assert record.loss is not None and record.accuracy is not None
        assert record.latency_ms is not None
        return (
            f"trial {record.trial}{again}  loss {record.loss:.4f}  accuracy {record.accuracy:.1%}  "
            f"{format_milliseconds(record.latency_ms)} ms  {name}"
        )

    def left(self) -> str:
        """Estimate the time that is left; empty while too few trials say how long one takes."""
        if len(self._seconds) < self.workers or self.total <= self.done:
            return ""
        recent = self._seconds[-10:]
        seconds = (self.total - self.done) * sum(recent) / len(recent) / self.workers
        return f"  ({format_clock(max(0.0, min(seconds, self._limit)))} left)"

    def best_so_far(self) -> str:
        """Name the lowest loss; empty while there is none."""
        if self.best is None or self.best.loss is None or self.best.latency_ms is None:
            return ""
        saved = ""
        if self.plain_loss is not None:
            saved = f", {self.plain_loss - self.best.loss:+.4f} saved"
        return (
            f"best loss {self.best.loss:.4f}{saved} at "
            f"{format_milliseconds(self.best.latency_ms)} ms (trial {self.best.trial})"
        )


class _LiveBar(_EventLines):
    """The observer of a terminal: a bar that moves, and lines only for what is rare."""

    def __init__(self, screen: Console) -> None:
        super().__init__(screen)
        self._step: tuple[int, int] | None = None

    def stage(self, text: str) -> None:
        self._step = None
        super().stage(text)

    def step(self, done: int, total: int) -> None:
        self._step = (done, total)

    def finished(self, record: Record) -> None:
        self.count(record)
        if record.state not in {COMPLETE, PAUSED}:
            self.say(self.describe(record))

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        if self._step is not None:
            done, total = self._step
            spent = time.monotonic() - self.step_began
            left = format_clock(spent * (total - done) / done) if done else "?"
            grid.add_row(ProgressBar(total, done, width=40), f"{done}/{total} steps, {left} left")
        elif self.total:
            text = f"{self.done}/{self.total} trials, {len(self.running)} running"
            text += f", {self.failed} failed" if self.failed else ""
            grid.add_row(ProgressBar(self.total, self.done, width=40), text + self.left())
            grid.add_row("", self.best_so_far())
        else:
            grid.add_row("starting the workers" if self.running or self.done else "")
        return grid
