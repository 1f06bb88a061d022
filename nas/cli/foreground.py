"""A search in the foreground: its progress, then its front, or how to go on."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from nas.cli.output.console import make_console
from nas.cli.output.front_table import print_front
from nas.cli.output.search_progress import watch_search
from nas.spec.width import describe_reference
from nas.study.front.answer import best_point
from nas.study.front.front import Front
from nas.study.front.point import Point
from nas.study.front.verdict import full_trainings_wanted

if TYPE_CHECKING:
    from nas.execution.observer import Observer
    from nas.runs.run import Run

__all__ = ["carry_out"]


def carry_out(folder: Path, start: Callable[[Observer], Run]) -> None:
    """Carry out a search, and print its progress and its front.

    folder: of the run.
    start: searches and returns the run.
    Ends the program with code 1 when the front is empty, 130 when the user stopped it.
    """
    screen = make_console()
    try:
        with watch_search(screen) as observer:
            run = start(observer)
    except KeyboardInterrupt:
        if (folder / "run.yaml").exists():
            again = shlex.quote(str(folder))
            print(f"stopped; nothing finished is lost. Go on with: {_program()} resume {again}")
        raise typer.Exit(130) from None
    front = run.front()
    screen.print()
    print_front(front, screen)
    screen.print(f"\nWritten: {folder}/front.csv, {folder}/front.png, {folder}/trials.parquet")
    if not front.members:
        screen.print(f"See why: {_program()} status {shlex.quote(str(folder))}")
        raise typer.Exit(1)
    _print_next_commands(folder, front, screen)


def _print_next_commands(folder: Path, front: Front, screen: Console) -> None:
    """Print what to type next, about the network that the answer names."""
    run = shlex.quote(str(folder))
    point = _choose_example(front)
    name = point.reference
    comment = "" if name is None else f"  # {name}, {describe_reference(name)}"
    surer = full_trainings_wanted(front)
    screen.print("Next:")
    # A line to copy is not to be broken, nor read as markup.
    for words in (
        *([f"resume {run} --full-trainings {surer}  # to be surer"] if surer else []),
        f"report {run}",
        f"show {run} {point.trial}{comment}",
        f"export {run} {point.trial} --to onnx --out winner.onnx",
    ):
        screen.print(f"  {_program()} {words}", soft_wrap=True, markup=False, highlight=False)


def _choose_example(front: Front) -> Point:
    """Return the network that the answer recommends; the plain one where it recommends none."""
    plain = [point for point in front.references if point.is_plain]
    return best_point(front) or (plain or front.members)[0]


def _program() -> str:
    """Return how this program is called from here: `make search` leaves it in .venv/bin."""
    if shutil.which("nas"):
        return "nas"
    called = Path(sys.argv[0])
    if called.name == "nas":
        return os.path.relpath(called)
    return f"{shlex.quote(sys.executable)} -m nas"
