"""How long a search has gone on, by its log: for whoever looks at it from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nas.runs.run import Run

__all__ = ["Elapsed", "read_elapsed"]

_BEGINS, _ENDS = "searching", "searched:"


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
