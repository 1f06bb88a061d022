"""How long a search has gone on, by its log: for whoever looks at it from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nas.runs.run import Run

__all__ = ["RENEWED", "STARTED", "Elapsed", "read_elapsed", "read_spent"]

_BEGINS, _ENDS = "searching", "searched:"
RENEWED = "the time that it may take counts from here"
"""A line of the log: the run was given more time here."""
STARTED = "started"
"""A line of the log: a process starts or resumes the run. Until it searches, no time counts."""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time of a search, in all processes that have searched.

    spent: seconds.
    left: seconds until its time limit, about; None without one, or when it has ended.
    """

    spent: float
    left: float | None


def read_elapsed(run: Run, *, running: bool, now: datetime | None = None) -> Elapsed | None:
    """Read it from events.log; None where nothing of a search stands there.

    running: whether a driver works on the run.
    now: the time, with its zone; None: that of the clock.
    """
    read = _Clock.read(run)
    if read is None:
        return None
    spent = read.total
    if running and not read.over and read.heard is not None:
        spent += max(0.0, ((now or datetime.now(UTC)) - read.heard).total_seconds())
    limit = run.file.search.time_limit
    return Elapsed(spent, None if limit is None or read.over else max(0.0, limit - spent))


def read_spent(run: Run) -> float:
    """Return the seconds of its time limit that a run has used up, in all processes that searched.

    A search that was killed goes on with what is left; so does one with a budget, which keeps the
    rest for full trainings. Another one that came to its limit is given it once more.
    """
    read = _Clock.read(run)
    return 0.0 if read is None or (read.over and run.file.search.budget is None) else read.total


@dataclass(slots=True)
class _Clock:
    """The time of a search, as its log tells it.

    total: seconds, up to the last line.
    heard: when the process that searches wrote its last line; None: none searches yet.
    over: whether the search came to its end.
    """

    total: float = 0.0
    heard: datetime | None = None
    over: bool = False

    @classmethod
    def read(cls, run: Run) -> _Clock | None:
        """Read it from events.log; None where nothing of a search stands there."""
        clock, begun = cls(), False
        for when, text in _events(run.path / "events.log"):
            if text == RENEWED:
                clock = cls()
            elif text == STARTED:
                clock.heard = None
            elif text == _BEGINS:
                again = clock.over and run.file.search.budget is None
                clock, begun = cls(0.0 if again else clock.total, when), True
            elif clock.heard is not None and not clock.over:
                clock.total += max(0.0, (when - clock.heard).total_seconds())
                clock.heard, clock.over = when, text.startswith(_ENDS)
        return clock if begun else None


def _events(path: Path) -> list[tuple[datetime, str]]:
    """Return the lines of a log that begin with a time; nothing where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        stamp, _, text = line.partition(" ")
        try:
            when = datetime.fromisoformat(stamp)
        except ValueError:
            continue
        if when.tzinfo is not None:
            events.append((when, text))
    return events
