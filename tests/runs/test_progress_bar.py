from __future__ import annotations

from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.simulated_run import invented, simulated_run

from nas.execution.observer import SilentObserver
from nas.runs import progress_bar
from nas.runs.progress_bar import ProgressBar, is_watched, watched
from nas.study.record import Job, Outcome


class Bar:
    """What is used of tqdm's."""

    def __init__(self) -> None:
        self.n, self.total = 0, None
        self.lines: list[str] = []
        self.postfix = self.description = ""

    def write(self, text: str) -> None:
        self.lines.append(text)

    def set_description_str(self, text: str) -> None:
        self.description = text

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.postfix = text

    def refresh(self) -> None:
        return None


def test_a_bar_counts_networks_and_says_what_is_rare(tmp_path: Path) -> None:
    def evaluate(job: Job) -> Outcome:
        return Outcome(failure="out of memory") if job.trial == 6 else invented(job)

    bar: Any = Bar()
    shown = ProgressBar(bar)
    shown.stage("reading images")
    shown.step(3, 9)
    assert (bar.lines, bar.description) == (["reading images"], "3/9 steps")
    run = simulated_run(tmp_path / "run", search={"trials": 9}, evaluate=evaluate, observer=shown)
    trials = run.trials()
    seeds = int((trials["repeat"] > 0).sum())
    assert (bar.n, bar.total) == (9, 9) and bar.n + seeds == len(trials), "what was asked for"
    assert seeds > 1
    assert bar.postfix.startswith(f"{seeds} further seeds, 1 failed, best loss ")
    assert "saved)" in bar.postfix
    assert [line for line in bar.lines if "memory" in line] == [bar.lines[-1]]


def test_a_resumed_run_has_a_past(tmp_path: Path) -> None:
    bar: Any = Bar()
    past = simulated_run(tmp_path / "run", search={"trials": 8}).trials()
    search: Any = SimpleNamespace(
        records=[past.record(row) for row in range(len(past))], expected_networks=40
    )
    ProgressBar(bar).tick(search)
    assert (bar.n, bar.total) == (8, 40)


def test_a_bar_is_shown_where_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", StringIO())
    monkeypatch.delitem(progress_bar.sys.modules, "IPython", raising=False)
    assert not is_watched()
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(progress_bar.sys.modules, "IPython", shell)
    assert is_watched()
    shell.get_ipython = lambda: None
    assert not is_watched()


def test_an_observer_of_the_caller_s_takes_the_place_of_the_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress_bar, "is_watched", lambda: True)
    own = SilentObserver()
    with watched(own, None) as observer:
        assert observer is own
    with watched(None, False) as observer:
        assert type(observer) is SilentObserver
    monkeypatch.setattr("sys.stderr", said := StringIO())
    with watched(None, None) as observer:
        observer.stage("reading images")
    with watched(own, True) as observer:
        observer.stage("measuring")
    assert "network" in said.getvalue()
