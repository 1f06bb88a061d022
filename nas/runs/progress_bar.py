"""The progress of a run in a notebook or a terminal, for who starts it from Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nas.execution.observer import Observer, ObserverPair, SilentObserver
from nas.spec.architecture import PLAIN
from nas.study.record import COMPLETE, FAILED, PAUSED, Job, Record

if TYPE_CHECKING:
    from nas.strategy.search import Search

__all__ = ["ProgressBar", "is_watched", "watched"]


@contextmanager
def watched(observer: Observer | None, progress: bool | None) -> Iterator[Observer]:
    """Yield an observer that shows a run, too, while the context is open.

    observer: of the caller; None: there is none.
    progress: whether a bar is shown; None: where there is no observer and somebody watches.
    """
    if progress is None:
        progress = observer is None and is_watched()
    if not progress:
        yield observer or SilentObserver()
        return
    from tqdm.auto import tqdm

    with tqdm(unit="network", dynamic_ncols=True) as bar:
        shown = ProgressBar(bar)
        yield shown if observer is None else ObserverPair(shown, observer)


def is_watched() -> bool:
    """Return whether somebody sees what is printed: in a notebook, or at a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel") or sys.stderr.isatty()


class ProgressBar(SilentObserver):
    """The observer that moves a bar with every network, and says in a line what is rare.

    Further seeds of a network are counted beside the bar.

    bar: of tqdm.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._stage = ""
        self._settled: set[int] = set()  # trials
        self._repeated: set[int] = set()  # of these the further seeds
        self._failed = 0
        self._plain: float | None = None
        self._best: float | None = None

    def stage(self, text: str) -> None:
        self._stage = text
        self._bar.write(text)
        self._bar.set_description_str("")

    def step(self, done: int, total: int) -> None:
        self._bar.set_description_str(f"{done}/{total} steps")

    def finished(self, record: Record) -> None:
        self._count(record)
        if record.state not in (COMPLETE, PAUSED):
            self._bar.write(f"trial {record.trial} {record.state}: {record.failure}")
        self._show()

    def lost(self, job: Job, reason: str) -> None:
        self._bar.write(f"trial {job.trial}: its worker was {reason}; it is tried again")

    def tick(self, search: Search) -> None:
        if not self._settled:  # a resumed run has a past
            for record in search.records:
                if record.finished or record.loss is not None:
                    self._count(record)
        expected = search.expected_networks
        if expected != self._bar.total:
            self._bar.total = expected
            self._show()

    def _count(self, record: Record) -> None:
        self._settled.add(record.trial)
        if record.repeat:
            self._repeated.add(record.trial)
        self._failed += record.state == FAILED
        if record.state != COMPLETE or record.loss is None:
            return
        if record.reference == PLAIN and self._plain is None:
            self._plain = record.loss
        self._best = record.loss if self._best is None else min(self._best, record.loss)

    def _show(self) -> None:
        parts = []
        if seeds := len(self._repeated):
            parts.append(f"{seeds} further seed{'s' if seeds > 1 else ''}")
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._best is not None:
            saved = "" if self._plain is None else f" ({self._plain - self._best:+.4f} saved)"
            parts.append(f"best loss {self._best:.4f}{saved}")
        self._bar.set_postfix_str(", ".join(parts), refresh=False)
        self._bar.n = len(self._settled - self._repeated)
        self._bar.refresh()
