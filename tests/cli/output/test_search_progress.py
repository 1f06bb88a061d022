"""What is shown while a search runs: gained so far, left to gain, time spent and left."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from support.samples import make_record

from nas.cli.output.search_progress import _EventLines, _LiveBar, watch_search
from nas.spec.task import ACCURACY
from nas.study.prospect import Prospect

SOME = Prospect(0.0123, 0.004, 0.02, 0.0035, 1.0)


def console(width: int, *, terminal: bool = False) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, markup=False
    )


def searching(
    *,
    prospect: Prospect | None = SOME,
    limit: float | None = None,
    left: float = float("inf"),
    trials: int = 24,
    seeds: int = 0,
    full_trainings: int | None = None,
    budget: float | None = None,
) -> Any:
    """A search as an observer sees it."""
    return SimpleNamespace(
        records=(),
        expected_trials=lambda: trials + seeds,
        expected_networks=trials,
        remaining_seconds=left,
        plan=SimpleNamespace(time_limit=limit, full_trainings=full_trainings, budget=budget),
        prospect=prospect,
        figure=ACCURACY,
    )


def finish(shown: _EventLines, count: int, search: Any) -> None:
    for number in range(count):
        shown.finished(make_record(number, name=f"n{number}", loss=1.0 - number / 100))
        shown.tick(search)


def lines_of(bar: _LiveBar, width: int) -> list[str]:
    screen = console(width)
    screen.print(bar)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_shows_what_was_gained_and_what_may_be_left(width: int) -> None:
    bar = _LiveBar(console(width, terminal=True))
    search = searching(limit=600.0, left=480.0, trials=10_000, full_trainings=5)
    bar.tick(search)
    finish(bar, 12, search)
    lines = lines_of(bar, width)
    assert len(lines) == 4 and all(len(line) <= width for line in lines)
    assert lines[0].endswith("12 networks, 0 running") and "10000" not in lines[0]
    assert lines[1] == "2:00 spent, 8:00 left, then 5 full trainings"
    assert lines[2] == "best gain over plain +1.23 [+0.40, +2.00], expected regret 0.35 points"
    assert lines[3].startswith("best loss 0.8900")


def test_without_a_belief_and_a_limit_the_bar_shows_what_is_known() -> None:
    bar = _LiveBar(console(80, terminal=True))
    finish(bar, 3, searching(prospect=None))
    lines = lines_of(bar, 80)
    assert len(lines) == 3 and "3/24 networks" in lines[0]
    assert "spent" in lines[1] and "best gain" not in "".join(lines)


def test_after_the_search_the_bar_gives_way_to_what_is_left_of_the_budget() -> None:
    bar = _LiveBar(console(80, terminal=True))
    finish(bar, 3, searching(limit=600.0, left=480.0, budget=3600.0))
    bar.stage("searched: the time limit is reached")
    (line,) = lines_of(bar, 80)
    assert line.startswith("0:0") and line.endswith("left of the budget")
    assert "best" not in line


def test_lines_tell_of_it_every_so_many_networks_and_once() -> None:
    screen = console(200)
    with watch_search(screen) as shown:
        assert isinstance(shown, _EventLines)
        shown.tick(searching())
        finish(shown, 9, searching())
        finish(shown, 24, searching(prospect=Prospect(0.02, 0.01, 0.03, 0.001, 1.0)))
    told = [line for line in screen.file.getvalue().splitlines() if "best gain" in line]  # type: ignore[attr-defined]
    assert len(told) == 2, "what was not believed anew is not said again"
    assert "expected regret 0.35 points; " in told[0] and "spent" in told[0]
    assert "+2.00 [+1.00, +3.00], expected regret 0.10 points" in told[1]


def test_where_time_ends_the_search_a_line_counts_to_no_number() -> None:
    screen = console(200)
    shown = _EventLines(screen)
    search = searching(limit=60.0, left=30.0, trials=10_000)
    shown.tick(search)
    finish(shown, 2, search)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "[1/?]" in text and "10000" not in text and " 0:30 left" in text


def test_networks_are_counted_to_what_was_asked_for_and_further_seeds_apart() -> None:
    screen = console(200)
    shown = _EventLines(screen)
    search = searching(trials=3, seeds=2)
    shown.tick(search)
    finish(shown, 3, search)
    for number in (3, 4):
        shown.finished(make_record(number, name="n0", repeat=number - 2))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    for place in ("[1/3]", "[3/3]", "[further seed 1/2]", "[further seed 2/2]"):
        assert place in text
    bar = _LiveBar(console(80, terminal=True))
    bar.tick(search)
    bar.finished(make_record(0, name="n0"))
    bar.finished(make_record(1, name="n0", repeat=1))
    assert lines_of(bar, 80)[0].endswith("1/3 networks, 1 further seed, 0 running")


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal_a_long_line_goes_on_below_its_text(width: int) -> None:
    screen = console(width, terminal=True)
    _LiveBar(screen).say("a word and a [bracket] " * 12)
    first, *below = screen.file.getvalue().rstrip().splitlines()  # type: ignore[attr-defined]
    start = first.index("a word")
    assert below and all(line[:start].isspace() and line[start] != " " for line in below)
    assert all(len(line) <= width for line in (first, *below)) and "[bracket]" in first
