"""The output of commands: a console for people, JSON on standard output for machines."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["make_console", "plain_table", "print_json", "table_console"]

_PROSE_WIDTH = 118  # characters of a line in a file or pipe
_TABLE_WIDTH = 1000  # the same of a table


def make_console(**options: Any) -> Console:
    """Make a terminal of its own width; a file or pipe is wide enough for the tables.

    Names of runs, classes and sites may hold what rich takes for markup: nothing is.

    options: of rich's Console.
    """
    make = partial(Console, highlight=False, markup=False, emoji=False, **options)
    console = make()
    return console if console.is_terminal or "width" in options else make(width=_PROSE_WIDTH)


def table_console(screen: Console) -> Console:
    """Return the console for a table of a screen: a file or pipe takes lines of any length."""
    return screen if screen.is_terminal else make_console(width=_TABLE_WIDTH, file=screen.file)


def plain_table(title: str | None = None) -> Table:
    """Make a table without lines, as all of them are."""
    return Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")


def print_json(value: Any, *, indent: int | None = 1) -> None:
    """Print a value for machines.

    indent: spaces for each level; None puts all of it on one line.
    """
    print(json.dumps(value, indent=indent))
