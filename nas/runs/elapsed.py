"""How long a search has gone on, by its log: for whoever looks at it from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nas.runs.run import Run

__all__ = ["RENEWED", "Elapsed", "read_elapsed", "read_spent"]

_BEGINS, _ENDS = "searching", "searched:"
RENEWED = "the time that it may take counts from here"
"""A line of the log: the run was given more time here."""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time of a search since it was started, or resumed for the last time.

    spent: seconds.
    left: seconds until its time limit, about; None without one, or where it does not search.
    """

    spent: float
    left: float | None


def read_elapsed(run: Run, *, running: bool, now: datetime | None = None) -> Elapsed | None:
    """Read it from events.log; None where nothing of a search stands there.

    running: whether a driver works on the run.
    now: the time, with its zone; None: that of the clock.
    """
    events = _events(run.path / "events.log")
    starts = [number for number, (_, text) in enumerate(events) if text == _BEGINS]
    if not starts:
        return None
    began = events[starts[-1]][0]
    after = events[starts[-1] :]
    over = next((when for when, text in after if text.startswith(_ENDS)), None)
    if over is None and not running:
        over = after[-1][0]
    spent = max(0.0, ((over or now or datetime.now(UTC)) - began).total_seconds())
    limit = run.file.search.time_limit
    left = None if limit is None or over is not None else max(0.0, limit - spent)
    return Elapsed(spent, left)


def read_spent(run: Run) -> float:
    """Return the seconds of its time limit that a run has used up, in all processes that searched.

    A search that was killed goes on with what is left; so does one with a budget, which keeps the
    rest for full trainings. Another one that came to its limit is given it once more.
    """
    total, began, over = 0.0, None, False
    for when, text in _events(run.path / "events.log"):
        if text == RENEWED:
            total, began, over = 0.0, None, False
        elif text == _BEGINS:
            began, over, last = when, False, when
        elif began is not None and not over:
            total += max(0.0, (when - last).total_seconds())
            last, over = when, text.startswith(_ENDS)
    return 0.0 if over and run.file.search.budget is None else total


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
