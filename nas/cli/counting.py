"""Progress of a count: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nas.cli.tables import console

__all__ = ["counting"]


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function (done, of) that shows how far something is, on standard error."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Lines(what)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


class _Lines:
    """A line for every fifth."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.said = 0

    def __call__(self, done: int, of: int) -> None:
        fifth = 5 * done // max(1, of)
        if fifth > self.said:
            self.said = fifth
            print(f"{self.what}: {done} of {of}", file=sys.stderr, flush=True)
