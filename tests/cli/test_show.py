"""`nas show` as its users meet it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.simulated_run import invented, simulated_run

from nas.study.record import Job, Outcome

pytestmark = pytest.mark.xdist_group("run")


def test_a_trial_is_shown(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    shown = nas("show", finished_run, 1)
    assert shown.code == 0
    assert "blocks.1.0/after_depthwise" in shown.out
    assert "hand-placed reference: se/r24" in shown.out
    assert json.loads(nas("show", finished_run, 1, "--json").out)["state"] == "COMPLETE"


def test_suppression_stands_beside_the_latency_of_a_detector(nas, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    def detector(job: Job) -> Outcome:
        outcome = invented(job)
        assert outcome.evaluation is not None
        return Outcome(replace(outcome.evaluation, suppression_ms=1.25))

    run = simulated_run(tmp_path / "run", evaluate=detector, search={"trials": 5})
    said = "keeping boxes takes 1.250 ms more (the median of validation images"
    assert said in nas("show", run.path, 0).out
    assert json.loads(nas("show", run.path, 0, "--json").out)["suppression_ms"] == 1.25
    other = simulated_run(tmp_path / "other", search={"trials": 5})
    assert "keeping boxes" not in nas("show", other.path, 0).out
    assert json.loads(nas("show", other.path, 0, "--json").out)["suppression_ms"] is None


def test_a_network_is_drawn(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shown = nas("show", finished_run, 1, "--picture", tmp_path / "net.svg")
    assert (shown.code, shown.err) == (0, "") and "Written: " in shown.out
    drawn = (tmp_path / "net.svg").read_text()
    blocks = json.loads(nas("show", finished_run, 1, "--json").out)["architecture"]["insertions"]
    assert drawn.count(">se<") == len(blocks) and "×" in drawn
    assert nas("show", finished_run, 0, "--picture", tmp_path / "net.svg").code == 0, "once more"
    (tmp_path / "mine.svg").write_text("<svg/>")
    taken = nas("show", finished_run, 1, "--picture", tmp_path / "mine.svg")
    assert (taken.code, taken.err.count("\n")) == (2, 1) and "no report" in taken.err


def test_feature_maps_are_drawn(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shown = nas("show", finished_run, 1, "--picture", tmp_path / "maps.png")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.endswith(f"Written: {tmp_path}/maps.png\n")
    assert (tmp_path / "maps.png").read_bytes()[:4] == b"\x89PNG"
    shown = nas("show", finished_run, 1, "--json", "--picture", tmp_path / "again.png")
    assert json.loads(shown.out)["state"] == "COMPLETE" and (tmp_path / "again.png").exists()
    wrong = nas("show", finished_run, 1, "--picture", tmp_path / "maps.jpg")
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (2, "", 1), wrong.err
