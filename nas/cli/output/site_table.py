"""The sites of a network as a table, with what blocks cost there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table

from nas.base.formats import describe_uncounted, format_count
from nas.base.size import Size
from nas.cli.output.console import make_console, plain_table, table_console

__all__ = ["print_sites"]

_REFUSED = 6  # reasons that are shown
_ANY_WIDTH = 10_000  # characters, more than any table has


def print_sites(about: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Print the sites of a network, what blocks cost there, and what does not fit.

    about: what `nas sites --json` prints.
    labels: of the blocks, one column each.
    """
    screen = make_console()
    rows, size = about["sites"], Size.of(about["size"])
    costs = f"{format_count(about['params'])} params, {format_count(about['macs'])} MACs"
    _print_table(table_console(screen), f"{about['network']} at {size}: {costs}", rows, labels)
    refused = {
        f"{label} does not fit {row['name']}: {cell['refused']}"
        for row in rows
        for label, cell in row["blocks"].items()
        if "refused" in cell
    }
    for line in sorted(refused)[:_REFUSED]:
        screen.print(line)
    if len(refused) > _REFUSED:
        screen.print(f"and {len(refused) - _REFUSED} more that do not fit (--json has all)")
    if any(row["filled"] for row in rows):
        screen.print(
            "Filled: the slot comes with a block, which can be kept or emptied; costs are "
            "beside what it holds.",
            style="dim",
        )
    if about["unsupported"]:
        screen.print(describe_uncounted(about["unsupported"]))
    if about["weights"] is not None:
        for line in _describe_match(about["weights"], about["network"]):
            screen.print(line, soft_wrap=True)


def _describe_match(matched: Mapping[str, Any], network: str) -> list[str]:
    return [
        f"Weights: all {matched['tensors']} tensors of {matched['file']} are those of {network}, "
        f"with a head of {matched['head_classes']} classes.",
        *(f"  {note}" for note in matched["notes"]),
    ]


def _print_table(
    screen: Console, title: str, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> None:
    """Print the sites; in a narrow terminal without their stages, which begin their names.

    What is wider still is left to the terminal to break: no figure is cut.
    """
    table = _table(title, rows, labels, stages=True)
    room = screen.options.update(max_width=_ANY_WIDTH)
    if Measurement.get(screen, room, table).maximum > screen.width:
        table = _table(title, rows, labels, stages=False)
    least = Measurement.get(screen, room, table).minimum
    if least > screen.width:
        screen = make_console(width=least, file=screen.file)
    screen.print(table)


def _table(
    title: str, rows: Sequence[Mapping[str, Any]], labels: Sequence[str], *, stages: bool
) -> Table:
    table = plain_table(title)
    maps = [f"{row['channels']}x{row['height']}x{row['width']}" for row in rows]
    whole: list[tuple[str, list[str], JustifyMethod]] = [
        ("site", [row["name"] for row in rows], "left"),
        ("part", [row["part"] for row in rows], "left"),
        ("stage", [row["stage"] for row in rows], "left"),
        ("channels\nx map", maps, "right"),
        ("", ["filled" if row["filled"] else "" for row in rows], "left"),
    ]
    if not stages:
        del whole[2]
    if {row["part"] for row in rows} == {"backbone"}:
        del whole[1]
    for heading, cells, justify in whole:
        least = max(map(len, [*heading.split("\n"), *cells]))
        table.add_column(heading, justify=justify, no_wrap=True, min_width=least)
    for label in labels:  # on two lines where there is no room: a figure that is cut is none
        table.add_column(f"{label}\nparams, MACs", justify="right", overflow="fold", min_width=7)
    for number, row in enumerate(rows):
        costs = [_cell(row["blocks"][label]) for label in labels]
        table.add_row(*(cells[number] for _, cells, _ in whole), *costs)
    return table


def _cell(costs: Mapping[str, Any]) -> str:
    if "refused" in costs:
        return "does not fit"
    return ", ".join(
        f"{'-' if value < 0 else '+'}{format_count(abs(value))}"
        for value in (costs["params"], costs["macs"])
    )
