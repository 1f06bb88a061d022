"""A front as a table, for a terminal or as Markdown, with what it allows to say."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.base.formats import (
    format_count,
    format_interval,
    format_mean_percent,
    format_milliseconds,
)
from nas.base.tables import to_markdown
from nas.cli.output.console import make_console, plain_table
from nas.cli.output.formats import format_signed, summarise_blocks
from nas.spec.architecture import PLAIN
from nas.study.front.front import Front, Point
from nas.study.front.gains import Gain
from nas.study.front.verdict import judge

__all__ = ["front_markdown", "front_table", "print_front"]

_TABLE_WIDTH = 1000  # characters of a table in a file or pipe
_COLUMN_GAP, _LEAST_NAME = 2, 24  # characters
_LEAST_NEEDED = ("90 %", "MACs", "params", "retrained %", "accuracy %")


def print_front(front: Front, screen: Console) -> None:
    """Print the table, and what it allows to say."""
    if not len(front):
        screen.print(judge(front).lines[-1])
        return
    wide = screen if screen.is_terminal else make_console(width=_TABLE_WIDTH, file=screen.file)
    wide.print(front_table(front, wide.width))
    names = " and ".join(objective.title for objective in front.objectives)
    screen.print(
        f"* on the front of {names}. Latency: {_describe_latency(front)}. "
        "Loss saved: against the plain network; 90 %: the interval of what it is believed to gain, "
        "from seeds, images and all other networks. n: seeds it was trained with."
        + (
            " +: hand-placed, better than the front, but not of this space."
            if front.outside
            else ""
        ),
        style="dim",
    )
    if any(point.retrained_seeds for point in front):
        screen.print(
            "retrained, test: accuracy after full training, on validation and on test images, "
            "± standard deviation between its n seeds.",
            style="dim",
        )
    for line in judge(front).lines:
        screen.print(line)


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

    for name in _LEAST_NEEDED:
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
    headings = [
        "",
        *(["run"] if several else []),
        *("trial", "latency ms", "loss saved", "90 %", "accuracy %", "params", "MACs", "n"),
        *(["retrained %", "test %", "n"] if retrained else []),
        "network",
    ]
    outside = set(front.outside)
    return headings, [
        _cells(point, gain, several, retrained, outside=point in outside)
        for point, gain in zip(front.points, front.gains, strict=True)
    ]


def _cells(
    point: Point, gain: Gain, several: bool, retrained: bool, *, outside: bool
) -> list[str | Text]:
    name = Text(summarise_blocks(point.architecture))
    if point.reference:
        name = Text.assemble((point.reference, "bold"), f" hand-placed: {name}")
        if point.reference == PLAIN:
            name = Text("plain backbone", "bold")
    retrained_cells: list[str | Text] = [
        format_mean_percent(point.retrained_accuracy, point.retrained_spread),
        format_mean_percent(point.retrained_test_accuracy, point.retrained_test_spread),
        str(point.retrained_seeds or ""),
    ]
    return [
        "*" if point.on_front else "+" if outside else " ",
        *([str(point.run)] if several else []),
        str(point.trial),
        ("~" if point.latency_predicted else "") + format_milliseconds(point.latency_ms),
        format_signed(point.loss_saved),
        "" if point.reference == PLAIN else format_interval(gain.low, gain.high),
        f"{point.accuracy * 100:.2f} ± {point.accuracy_noise * 100:.2f}",
        format_count(point.params),
        format_count(point.macs),
        str(point.seeds),
        *(retrained_cells if retrained else []),
        name,
    ]


def _describe_latency(front: Front) -> str:
    predicted = [point.latency_predicted for point in front]
    if predicted and all(predicted):
        return "predicted from a device profile (~)"
    measured = "thread CPU time of one image, measured"
    return f"{measured}; ~ predicted from a device profile" if any(predicted) else measured
