"""`nas profile compare`: which blocks are dearer on one device than on another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.output.console import make_console, plain_table

__all__ = ["compare"]


def compare(
    first: Annotated[Path, typer.Argument(help="Device profile.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Compare two devices: which blocks are dearer on the one than on the other?

    Example: nas profile compare laptop.json phone.json
    """
    from nas.latency.profile import load_profile
    from nas.latency.quality import compare_profiles

    one, two = load_profile(first), load_profile(second)
    comparison = compare_profiles(one, two)
    screen = make_console()
    table = plain_table()
    table.add_column("", no_wrap=True)
    for name in (one.device, two.device, "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, ours, theirs in comparison.rows:
        ratio = f"{theirs / ours:.2f}" if ours else ""
        table.add_row(name, f"{ours:+.1%}", f"{theirs:+.1%}", ratio)
    screen.print("What a block at all its sites adds, of the plain network's time:")
    screen.print(table)
    screen.print(
        f"Rank correlation of {comparison.entries} table entries: {comparison.spearman:.2f}"
    )
    for doubt in dict.fromkeys((one.doubt, two.doubt)):
        if doubt is not None:
            screen.print(doubt)
