"""A front as a table, for a terminal or as Markdown, with what it allows to say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.base.formats import (
    format_count,
    format_mean_percent,
    format_milliseconds,
    format_probability,
)
from nas.base.tables import to_markdown
from nas.cli.output.console import plain_table, table_console
from nas.cli.output.formats import format_gain, format_signed
from nas.spec.width import describe_reference, is_widened
from nas.study.front.front import Front
from nas.study.front.point import Point
from nas.study.front.verdict import judge

__all__ = ["front_markdown", "front_table", "print_front"]

_COLUMN_GAP, _LEAST_NAME = 2, 24  # characters
_LEAST_NEEDED = ("MACs", "params", "loss saved", "retrained %", "better")


def print_front(front: Front, screen: Console) -> None:
    """Print the answer, the table, and how sure it is."""
    verdict = judge(front)
    if not len(front):
        screen.print(verdict.lines[-1])
        return
    for line in verdict.answer:
        screen.print(line)
    wide = table_console(screen)
    table = front_table(front, wide.width)
    wide.print(table)
    for line in _legend(front, [str(column.header) for column in table.columns]):
        screen.print(line, style="dim")
    screen.print()
    for line in verdict.essentials:
        screen.print(line)
    if verdict.details:
        more = len(verdict.details)
        told = "1 more statement is" if more == 1 else f"{more} more statements are"
        screen.print(f"{told} in: nas front RUN --findings", style="dim")


def front_table(front: Front, width: int) -> Table:
    """Make a table of the front's members and the hand-placed networks, by latency.

    width: characters; where the columns take more, the least needed are left out.
    """
    headings, rows = _rows(front)
    texts = [headings, *[[str(cell) for cell in cells] for cells in rows]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    shown = list(range(len(headings)))

    def room() -> int:
        """Count the characters that are left for the names of the networks."""
        return width - sum(widths[number] + _COLUMN_GAP for number in shown[:-1])

    *first, last = _LEAST_NEEDED
    for name in (*first, f"{front.figure.title} %", last):
        if room() >= min(widths[-1], _LEAST_NAME):
            break
        if name in headings:
            shown.remove(headings.index(name))
    table = plain_table()
    for number in shown[:-1]:
        table.add_column(headings[number], justify="right", no_wrap=True, min_width=widths[number])
    name_width = max(_LEAST_NAME // 2, min(widths[-1], room()))
    table.add_column(headings[-1], overflow="ellipsis", no_wrap=True, width=name_width)
    for point, cells in zip(front, rows, strict=True):
        table.add_row(*[cells[number] for number in shown], style=None if point.on_front else "dim")
    return table


def front_markdown(front: Front) -> str:
    """Write the same table for a README or an issue."""
    headings, rows = _rows(front)
    texts = [[str(cell) for cell in cells] for cells in rows]
    # What it is comes first; figures follow.
    return to_markdown([headings[-1], *headings[:-1]], [[row[-1], *row[:-1]] for row in texts])


def _rows(front: Front) -> tuple[list[str], list[list[str | Text]]]:
    """Return headings and cells; what no point has takes no column."""
    several = any(point.run for point in front)
    retrained = any(point.retrained_seeds for point in front)
    believed = front.has_gain_loss
    outside = {id(point) for point in front.outside}
    headings = [
        "",
        *(["run"] if several else []),
        *("trial", "latency ms"),
        *([f"gain{_gain_unit(front)}", "better"] if believed else []),
        *("loss saved", f"{front.figure.title} %", "params", "MACs", "n"),
        *(["retrained %", "test %", "n"] if retrained else []),
        "network",
    ]
    return headings, [
        [
            "*" if point.on_front else "+" if id(point) in outside else " ",
            *([str(point.run)] if several else []),
            *_cells(point, believed, retrained),
        ]
        for point in front
    ]


def _cells(point: Point, believed: bool, retrained: bool) -> list[str | Text]:
    name = Text(point.architecture.summary)
    if point.reference:
        kind = describe_reference(point.reference)
        name = Text.assemble((point.reference, "bold"), f" {kind}: {name}")
        if point.is_plain:
            name = Text("plain backbone", "bold")
        elif is_widened(point.reference):
            name = Text.assemble((point.reference, "bold"), " plain backbone, widened")
    retrained_cells: list[str | Text] = [
        format_mean_percent(point.retrained_accuracy, point.retrained_spread),
        format_mean_percent(point.retrained_test_accuracy, point.retrained_test_spread),
        str(point.retrained_seeds or ""),
    ]
    return [
        str(point.trial),
        ("~" if point.latency_predicted else "") + format_milliseconds(point.latency_ms),
        *([format_gain(point), _format_better(point)] if believed else []),
        format_signed(point.loss_saved),
        f"{point.accuracy * 100:.2f}",
        format_count(point.params),
        format_count(point.macs),
        str(point.seeds),
        *(retrained_cells if retrained else []),
        name,
    ]


def _legend(front: Front, shown: Sequence[str]) -> list[str]:
    """Say what the columns are that are shown: their headings."""
    names = front.figure.worded(" and ".join(objective.title for objective in front.objectives))
    title = front.figure.title
    marks = f"* is on the front of {names}"
    if front.outside:
        marks += "; + would be, but the space does not hold it"
    sentences = [f"{marks}."]
    if front.has_gain_loss:
        gain = (
            "Gain is what full training is expected to bring over the plain network, with its 90 % "
            "interval"
        )
        better = "; better is the probability that it brings anything"
        sentences.append(f"{gain}{better if 'better' in shown else ''}.")
    means = [
        words
        for heading, words in (
            ("loss saved", "loss saved (against the plain network)"),
            (f"{title} %", title),
        )
        if heading in shown
    ]
    if means:
        said = " and ".join(means)
        verb = "are means" if len(means) > 1 else "is the mean"
        sentences.append(f"{said[0].upper()}{said[1:]} {verb} over n short trainings.")
    sentences.append(f"Latency is {_describe_latency(front)}.")
    lines = [" ".join(sentences)]
    full = [name for name in ("retrained", "test") if f"{name} %" in shown]
    if full:
        parts = {"retrained": "validation", "test": "test"}
        images = " and on ".join(parts[name] for name in full)
        said = " and ".join(full)
        lines.append(
            f"{said[0].upper()}{said[1:]} {'are' if len(full) > 1 else 'is'} {title} after full "
            f"training, on {images} images: mean ± standard deviation over n full trainings."
        )
    return lines


def _describe_latency(front: Front) -> str:
    predicted = [point.latency_predicted for point in front]
    if predicted and all(predicted):
        return "predicted from a device profile (~)"
    measured = "the thread CPU time of one image, measured"
    return f"{measured} (~: predicted from a device profile)" if any(predicted) else measured


def _gain_unit(front: Front) -> str:
    return ", points" if front.has_gain else " (loss)"


def _format_better(point: Point) -> str:
    return "" if math.isnan(point.p_better) else format_probability(point.p_better)
