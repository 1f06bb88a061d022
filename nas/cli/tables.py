"""Fronts and networks as terminal tables."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.base.tables import to_markdown
from nas.spec.architecture import PLAIN, Architecture
from nas.study.front.front import Front, Point
from nas.study.front.verdict import judge

__all__ = [
    "console",
    "count",
    "front_markdown",
    "front_table",
    "milliseconds",
    "print_front",
    "summary",
]

_WIDE, _FILE = 118, 1000  # characters, of prose and of tables in a file or pipe
_BETWEEN, _LEAST_NAME = 2, 24
_LEAST_NEEDED = ("MACs", "± seeds", "params", "retrained %", "accuracy %")


def console(**options: Any) -> Console:
    """A terminal at its own width; a file or pipe wide enough for the tables.

    Names of runs, classes and sites may hold what rich takes for markup: nothing is.
    """
    plain = partial(Console, highlight=False, markup=False, emoji=False, **options)
    found = plain()
    return found if found.is_terminal or "width" in options else plain(width=_WIDE)


def summary(architecture: Architecture) -> str:
    """Blocks by kind: `5 cbam, 2 se, 1 eca`; `nas show` says which stands where."""
    kinds = Counter(item.block for item in architecture.blocks)
    return ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()) or "no block"


def count(number: float) -> str:
    """A count readably: 412k, 3.50M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            digits = 0 if letter == "k" else 2
            return f"{number / size:.{digits}f}{letter}"
    return f"{number:.0f}"


def milliseconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.2f}"


def front_table(front: Front, width: int) -> Table:
    """Members of the front and the hand-placed networks, by latency.

    Where all columns take more than `width` characters, the least needed are left out.
    """
    headings, rows = _rows(front)
    texts = [headings, *[[str(cell) for cell in cells] for cells in rows]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    shown = list(range(len(headings)))

    def room() -> int:
        """For the networks, beside all else."""
        return width - sum(widths[number] + _BETWEEN for number in shown[:-1])

    for name in _LEAST_NEEDED:
        if room() >= min(widths[-1], _LEAST_NAME):
            break
        if name in headings:
            shown.remove(headings.index(name))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in shown[:-1]:
        table.add_column(headings[number], justify="right", no_wrap=True, min_width=widths[number])
    name_width = max(_LEAST_NAME // 2, min(widths[-1], room()))
    table.add_column(headings[-1], overflow="ellipsis", no_wrap=True, width=name_width)
    for point, cells in zip(front, rows, strict=True):
        table.add_row(*[cells[number] for number in shown], style=None if point.on_front else "dim")
    return table


def front_markdown(front: Front) -> str:
    """The same table for a README or an issue."""
    headings, rows = _rows(front)
    texts = [[str(cell) for cell in cells] for cells in rows]
    # What it is comes first; figures follow.
    return to_markdown([headings[-1], *headings[:-1]], [[row[-1], *row[:-1]] for row in texts])


def _rows(front: Front) -> tuple[list[str], list[list[str | Text]]]:
    """Headings and cells; what no point has takes no room."""
    several = any(point.run for point in front)
    retrained = any(point.retrained_seeds for point in front)
    headings = [
        "",
        *(["run"] if several else []),
        *("trial", "latency ms", "loss saved", "± seeds", "accuracy %", "params", "MACs", "n"),
        *(["retrained %", "test %", "n"] if retrained else []),
        "network",
    ]
    return headings, [_cells(point, several, retrained) for point in front]


def _cells(point: Point, several: bool, retrained: bool) -> list[str | Text]:
    name = Text(summary(point.architecture))
    if point.reference:
        name = Text.assemble((point.reference, "bold"), f" hand-placed: {name}")
        if point.reference == PLAIN:
            name = Text("plain backbone", "bold")
    fully: list[str | Text] = [
        _percent(point.retrained_accuracy, point.retrained_spread),
        _percent(point.retrained_test_accuracy, point.retrained_test_spread),
        str(point.retrained_seeds or ""),
    ]
    return [
        "*" if point.on_front else " ",
        *([str(point.run)] if several else []),
        str(point.trial),
        ("~" if point.latency_predicted else "") + milliseconds(point.latency_ms),
        _signed(point.loss_saved),
        "exact" if point.loss_noise == 0 else _number(point.loss_noise),
        f"{point.accuracy * 100:.2f} ± {point.accuracy_noise * 100:.2f}",
        count(point.params),
        count(point.macs),
        str(point.seeds),
        *(fully if retrained else []),
        name,
    ]


def _percent(mean: float, spread: float) -> str:
    if math.isnan(mean):
        return ""
    return f"{mean * 100:.2f}" + ("" if math.isnan(spread) else f" ± {spread * 100:.2f}")


def _how(front: Front) -> str:
    predicted = [point.latency_predicted for point in front]
    if predicted and all(predicted):
        return "predicted from a device profile (~)"
    measured = "thread CPU time of one image, measured"
    return f"{measured}; ~ predicted from a device profile" if any(predicted) else measured


def _signed(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:+.4f}"


def _number(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.4f}"


def print_front(front: Front, out: Console) -> None:
    """The table, and what it allows to say."""
    if not len(front):
        out.print(judge(front).lines[-1])
        return
    wide = out if out.is_terminal else console(width=_FILE, file=out.file)
    wide.print(front_table(front, wide.width))
    names = " and ".join(item.title for item in front.objectives)
    out.print(
        f"* on the front of {names}. Latency: {_how(front)}. "
        "Loss saved: against the plain network. n: seeds it was trained with.",
        style="dim",
    )
    if any(point.retrained_seeds for point in front):
        out.print(
            "retrained, test: accuracy after full training, on validation and on test images, "
            "± standard deviation between its n seeds.",
            style="dim",
        )
    for line in judge(front).lines:
        out.print(line)
