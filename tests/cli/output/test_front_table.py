"""A front as a table."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from nas.cli.output.front_table import front_table, print_front
from nas.runs.run import open_run

pytestmark = pytest.mark.xdist_group("run")


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_marks_and_names_are_shown_at_any_width(finished_run: Path, width: int) -> None:
    front = open_run(finished_run).front()
    screen = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    screen.print(front_table(front, width))
    heading, *rows = screen.file.getvalue().rstrip().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, [heading, *rows])) <= width
    assert "network" in heading and "latency ms" in heading and "trial" in heading
    assert ("MACs" in heading) is (width > 100)
    assert "gain, points" in heading
    # Older Rich begins each line with one space more.
    assert sum(row.lstrip().startswith("*") for row in rows) == len(front.members)
    for row, point in zip(rows, front, strict=True):
        assert (point.reference or "")[:5] in row
        assert "hand-" in row or not point.reference or point.reference == "plain"


@pytest.mark.parametrize("width", [80, 250])
def test_columns_are_explained_where_they_are_shown_and_no_others(
    finished_run: Path, width: int
) -> None:
    front = open_run(finished_run).front()
    screen = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    print_front(front, screen)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    heading = next(line for line in text.splitlines() if "latency ms" in line)
    legend = text[text.index("* is on the front") :]
    legend = " ".join(legend[: legend.index("\n\n")].split())
    assert ("loss saved" in heading) is ("oss saved (against" in legend)
    assert (" better" in heading) is ("better is the probability" in legend)
    assert ("accuracy %" in heading) is ("ccuracy is" in legend or "accuracy are" in legend)
    assert ("loss saved" in heading) is (width == 250)
