"""The progress of a count: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nas.cli.output.console import make_console

__all__ = ["show_count"]


@contextmanager
def show_count(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on standard error how far something is, while the context is open.

    It gives a function (done, of) to be called on the way.

    what: is counted, as it stands before the bar: `timing graphs`.
    """
    screen = make_console(stderr=True)
    if not screen.is_terminal:
        yield _FifthLines(what)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


class _FifthLines:
    """A line for every fifth of the way."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._fifth = 0

    def __call__(self, done: int, of: int) -> None:
        fifth = 5 * done // max(1, of)
        if fifth > self._fifth:
            self._fifth = fifth
            print(f"{self._what}: {done} of {of}", file=sys.stderr, flush=True)
