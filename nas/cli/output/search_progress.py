"""The progress of a search: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nas.base.formats import format_milliseconds
from nas.cli.output.formats import format_clock
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.task import ACCURACY
from nas.spec.width import describe_reference
from nas.study.record import COMPLETE, FAILED, PAUSED, Job, Record

if TYPE_CHECKING:
    from nas.execution.observer import Observer
    from nas.strategy.search import Search
    from nas.study.prospect import Prospect

__all__ = ["watch_search"]

_PLAIN_STEPS = 4  # lines that a long step gets without a terminal
_PROSPECTS = 12  # lines of what was gained and may be left, about, without a terminal
_OVER = "searched:"  # how the stage after the last trial begins
_WIDEST_BAR, _BESIDE_BAR = 40, 56  # characters


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
        self.networks = 0  # that are planned; further seeds come on top
        self._counted: set[int] = set()
        self._repeated: set[int] = set()  # of these the further seeds
        self.running: dict[int, Job] = {}
        self.best: Record | None = None
        self.plain_loss: float | None = None
        self.step_began = self.began
        self._quarter = 0
        self._seconds: list[float] = []
        self._estimated_at: int | None = None
        self._limit, self._spent = math.inf, 0.0
        self._full_trainings, self._budget = 0, math.inf
        self._figure = ACCURACY
        self.over = False  # the search; full trainings and measurements may go on
        self.prospect: Prospect | None = None
        self._prospect_said: Prospect | None = None
        self._prospect_at = 0

    # As an Observer

    def stage(self, text: str) -> None:
        self.step_began = time.monotonic()
        self._quarter = 0
        self.over = self.over or text.startswith(_OVER)
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
        self.say(f"[{self.place_of(record)}] {self.describe(record)}{self.left()}")
        self._say_prospect()

    def lost(self, job: Job, reason: str) -> None:
        self.running.pop(job.trial, None)
        self.say(f"trial {job.trial}: its worker was {reason}; it is tried again")

    def tick(self, search: Search) -> None:
        if not self.done:  # a resumed run has a past
            settled = [
                record for record in search.records if record.finished or record.loss is not None
            ]
            self._counted = {record.trial for record in settled}
            self._repeated = {record.trial for record in settled if record.repeat}
            self.done = len(settled)
            self.failed = sum(record.state == FAILED for record in settled)
            for record in settled:
                self._note(record)
        if self.done != self._estimated_at:
            self._estimated_at = self.done
            self.total = search.expected_trials()
            self.networks = search.expected_networks
        self._limit = search.remaining_seconds
        limit = search.plan.time_limit
        self._spent = time.monotonic() - self.began if limit is None else limit - self._limit
        self._full_trainings = search.plan.full_trainings or 0
        self._budget = search.plan.budget or math.inf
        self.prospect = search.prospect
        self._figure = search.figure

    # What it prints

    def say(self, text: str) -> None:
        """Print a line behind the run's clock."""
        self.screen.print(f"{format_clock(time.monotonic() - self.began)}  {text}")

    def count(self, record: Record) -> None:
        """Take note of a trial that has come to its end, or to a rung."""
        self.running.pop(record.trial, None)
        # What goes on to a higher rung has been counted.
        self._counted.add(record.trial)
        if record.repeat:
            self._repeated.add(record.trial)
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
            else architecture.summary
        )
        again = f" seed {record.repeat + 1}" if record.repeat else ""
        if record.state not in {COMPLETE, PAUSED}:
            return f"trial {record.trial}{again} {record.state}: {record.failure}; {name}"
        if record.state == PAUSED:
            again = f" at rung {record.rung + 1}"
        assert record.loss is not None and record.accuracy is not None
        assert record.latency_ms is not None
        return (
            f"trial {record.trial}{again}  loss {record.loss:.4f}  "
            f"{self._figure.title} {record.accuracy:.1%}  "
            f"{format_milliseconds(record.latency_ms)} ms  {name}"
        )

    def seconds_left(self) -> float | None:
        """Estimate the time that is left; None while too few trials say how long one takes."""
        seconds = math.inf
        if len(self._seconds) >= self.workers and self.total > self.done:
            recent = self._seconds[-10:]
            seconds = (self.total - self.done) * sum(recent) / len(recent) / self.workers
        seconds = max(0.0, min(seconds, self._limit))
        return seconds if math.isfinite(seconds) else None

    def left(self) -> str:
        """Say how much time is left; nothing where that is not known."""
        seconds = self.seconds_left()
        if seconds is None or self.total <= self.done:
            return ""
        return f"  ({format_clock(seconds)} left)"

    def place_of(self, record: Record) -> str:
        """Count a trial among the networks that were asked for, or among their further seeds."""
        known = self.total and not self.ended_by_time
        if record.repeat:
            planned = str(max(self.total - self.networks, len(self._repeated))) if known else "?"
            return f"further seed {len(self._repeated)}/{planned}"
        return f"{self.evaluated}/{self.networks if known else '?'}"

    @property
    def evaluated(self) -> int:
        """The networks that are evaluated, further seeds apart."""
        return self.done - len(self._repeated)

    @property
    def ended_by_time(self) -> bool:
        """True where the time limit comes before the last trial that is planned."""
        if not self._seconds:
            return math.isfinite(self._limit)
        each = sum(self._seconds[-10:]) / len(self._seconds[-10:])
        return self._limit < (self.total - self.done) * each / self.workers

    def spent_and_left(self) -> str:
        """Say how much time is spent and left, and what comes after the search."""
        text = f"{format_clock(self._spent).strip()} spent"
        seconds = self.seconds_left()
        if seconds is not None:
            text += f", {format_clock(seconds).strip()} left"
        if self._full_trainings:
            text += f", then {self._full_trainings} full trainings"
        return text

    def _say_prospect(self) -> None:
        """Say what was gained and may be left, where that is known anew and some time has passed.

        It is as the sampler believed when it proposed last, so that nothing is fitted for a line.
        """
        if self.prospect in (None, self._prospect_said):
            return
        if self.done - self._prospect_at < max(3, min(self.total, 300) // _PROSPECTS):
            return
        self._prospect_said, self._prospect_at = self.prospect, self.done
        self.say(f"{self.prospect}; {self.spent_and_left()}")

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

    def say(self, text: str) -> None:
        """Print a line behind the run's clock; what does not fit goes on below the text."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_row(format_clock(time.monotonic() - self.began), Text(text))
        self.screen.print(grid)

    def stage(self, text: str) -> None:
        self._step = None
        super().stage(text)

    def step(self, done: int, total: int) -> None:
        self._step = (done, total)

    def finished(self, record: Record) -> None:
        self.count(record)
        if record.state not in {COMPLETE, PAUSED}:
            self.say(self.describe(record))

    def __rich__(self) -> Group:
        if self._step is not None:
            done, total = self._step
            spent = time.monotonic() - self.step_began
            left = format_clock(spent * (total - done) / done) if done else "?"
            return Group(self._bar(done / total, f"{done}/{total} steps, {left} left"))
        if self.over:
            return Group(Text(self._spent_of_budget()))
        if not self.total:
            return Group(Text("starting the workers" if self.running or self.done else ""))
        planned = "" if self.ended_by_time else f"/{self.networks}"
        text = f"{self.evaluated}{planned} networks"
        seeds = len(self._repeated)
        text += f", {seeds} further seed{'s' if seeds > 1 else ''}" if seeds else ""
        text += f", {len(self.running)} running"
        text += f", {self.failed} failed" if self.failed else ""
        lines = [self.spent_and_left(), str(self.prospect or ""), self.best_so_far()]
        return Group(self._bar(self._share_done(), text), *(Text(line) for line in lines if line))

    def _spent_of_budget(self) -> str:
        spent = time.monotonic() - self.began
        text = f"{format_clock(spent).strip()} spent"
        if math.isinf(self._budget):
            return text
        left = format_clock(max(0.0, self._budget - spent)).strip()
        return f"{text}, {left} left of the budget"

    def _share_done(self) -> float:
        """Return the share of the search that is over, by time where that ends it."""
        by_trials = self.done / self.total
        if not self.ended_by_time:
            return by_trials
        return max(by_trials, self._spent / max(self._spent + self._limit, 1e-9))

    def _bar(self, share: float, text: str) -> Table:
        grid = Table.grid(padding=(0, 1))
        width = max(10, min(_WIDEST_BAR, self.screen.width - _BESIDE_BAR))
        grid.add_row(ProgressBar(1.0, min(1.0, share), width=width), text)
        return grid
