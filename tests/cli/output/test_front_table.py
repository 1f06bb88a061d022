"""A front as a table."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from study.front.test_width_rival import ALIKE, BETTER, WORSE, front_of, records_of

from nas.cli.output.front_table import describe_best, front_table
from nas.runs.run import open_run
from nas.study.front.front import Front

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
    assert sum(row.startswith("*") for row in rows) == len(front.members)
    for row, point in zip(rows, front, strict=True):
        assert (point.reference or "")[:5] in row
        assert "hand-" in row or not point.reference or point.reference == "plain"


def test_the_answer_says_where_width_gains_more() -> None:
    told = describe_best(front_of(records_of(*WORSE)))
    assert told[-1].startswith(
        "Width does more than attention here, as far as is known: plain x1.2"
    )
    assert not any("Width" in line for line in describe_best(front_of(records_of(*BETTER))))
    # What was not trained fully is no answer.
    assert not any("Width" in line for line in describe_best(front_of(records_of([], []))))


def test_one_training_of_each_is_not_called_certain() -> None:
    records = [record for record in records_of([], []) if record.repeat == 0]
    (told,) = describe_best(front_of([*records[1:], replace(records[0], full_trainings=())]))
    assert "if one training of each is to be believed" in told and "Most" not in told


def test_of_several_runs_a_network_is_held_against_the_plain_one_of_its_own() -> None:
    records = records_of([0.60, 0.61, 0.60], [0.50, 0.51, 0.50])
    slow = [replace(item, latency_ms=4 * (item.latency_ms or 0)) for item in records]
    one, other = front_of(records_of(*ALIKE)), front_of(slow)
    told = describe_best(Front.joined({"one": one, "other": other}))
    assert told == describe_best(other)
    assert "at +50% latency" in told[0] and "Width does more" in told[1]
