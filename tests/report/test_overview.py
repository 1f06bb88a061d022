"""What the page of several runs says of each and of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.simulated_run import simulated_run

from nas.report import overview
from nas.report.overview import Overview, summarise_run
from nas.runs.run import Run

SEARCH = {"trials": 14, "sampler": "random"}


def of_images(run: Run, key: str) -> Run:
    """The run, as one on images of this name."""
    file = run.path / "environment.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"data": about["data"] | {"key": key}}))
    return run


def test_a_summary_says_how_far_a_run_is_and_what_matters_in_it(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", stop_after=12, search=SEARCH)
    summary = summarise_run(run.path)
    assert (summary.name, summary.state, summary.planned) == ("run", "stopped", 14)
    assert 0 < summary.evaluated < 14 and summary.failure is None
    effects = dict(summary.effects)
    assert {effect.name for effect in effects["kind"]} == {"se", "eca"}
    saved = [effect.saved for effect in effects["stage"]]
    assert saved == sorted(saved, reverse=True)


def test_a_run_without_a_network_and_one_that_is_none_are_said(tmp_path: Path) -> None:
    empty = summarise_run(simulated_run(tmp_path / "empty", stop_after=0).path)
    assert (empty.evaluated, empty.effects, empty.best) == (0, (), None)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "run.yaml").write_text("data: digits\n")
    failed = summarise_run(tmp_path / "none")
    assert failed.failure is not None and "space.yaml" in failed.failure
    page = Overview(tmp_path).render()
    assert "2 runs" in page and failed.failure in page and 'id="compare"' not in page


def test_runs_on_the_same_images_are_compared_and_others_stand_apart(tmp_path: Path) -> None:
    for name, key in (("a", "one"), ("b", "one"), ("c", "other")):
        search = SEARCH | {"trials": 20 if name == "b" else 9}
        of_images(simulated_run(tmp_path / name, search=search), key)
    groups = overview._groups([summarise_run(tmp_path / name) for name in "abc"])
    assert [sorted(run.name for run in group.runs) for group in groups] == [["a", "b"], ["c"]]
    (name, lead), = groups[0].lead  # fmt: skip
    assert name in "ab" and lead.first >= lead.second, "the first is the one of more hypervolume"
    page = Overview(tmp_path).render()
    assert lead.verdict in page and "stand apart" in page


def test_a_run_is_read_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [simulated_run(tmp_path / name, search=SEARCH) for name in "ab"]
    read: list[str] = []

    def summarise(path: Path) -> overview.RunSummary:
        read.append(path.name)
        return summarise_run(path)

    monkeypatch.setattr(overview, "summarise_run", summarise)
    page = Overview(tmp_path)
    for _ in range(2):
        page.render()
    assert read == ["a", "b"]
    with (runs[1].path / "events.log").open("a") as file:
        file.write("something happened\n")
    page.render()
    assert read == ["a", "b", "b"]
