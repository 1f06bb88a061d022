"""How a benchmark says what it measured, where and when."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from nas.base.machine import processor, version

__all__ = ["print_machine", "print_table"]


def print_machine(*packages: str) -> None:
    """One line: processor, cores, load, date, versions. Load above 0 spoils times by the wall."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = os.getloadavg()[0]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f}; {now}; {versions}")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Plain text: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    for row in [headings, *rows]:
        cells = [
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
