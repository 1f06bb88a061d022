"""`nas status` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.simulated_run import simulated_run

from nas.cli.status import _print_counts
from nas.report.page import render

pytestmark = pytest.mark.xdist_group("run")


def test_how_far_a_run_is(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    status = json.loads(nas("status", finished_run, "--json").out)
    assert status["trials"]["RUNNING"] == 0
    assert status["networks"] == {"evaluated": 5, "planned": 5}
    assert status["regime"] == "finetune"  # that of its probes
    assert "regime finetune; finished" in nas("status", finished_run).out


@pytest.mark.parametrize("slurm", [False, True])
def test_a_job_in_slurms_queue_goes_on_by_itself(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: bool
) -> None:
    run = simulated_run(tmp_path / "run", search={"trials": 30}, stop_after=12)
    if slurm:
        (tmp_path / "squeue").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = nas("status", run.path).out
    assert f"go on with: nas resume {run.path}\n" in shown
    assert ("goes on by itself: squeue --me\n" in shown) is slurm


def test_what_was_gained_and_what_may_be_left(nas, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run = simulated_run(
        tmp_path / "run", search={"sampler": "pareto", "trials": 30, "time_limit": 3600.0},
        believed=True, stop_after=34,
    )  # fmt: skip
    (run.path / "events.log").write_text("2026-11-29T12:00:00+00:00 searching\n")
    status = json.loads(nas("status", run.path, "--json").out)
    prospect = status["prospect"]
    assert prospect["unit"] == "points" and prospect["regret"] >= 0
    assert prospect["gain_low"] < prospect["gain"] < prospect["gain_high"]
    assert 15 < prospect["trial"] < 34
    assert status["time"] == {"spent": 0.0, "left": 3600.0}  # it was stopped before its end
    shown = nas("status", run.path).out
    assert f"best gain over plain {prospect['gain']:+.2f}" in shown
    assert f"points (when trial {prospect['trial']} was proposed)" in shown
    assert "searching: 0:00 spent, about 1:00:00 left\n" in shown


def test_networks_beyond_the_plan_are_said(nas, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run = simulated_run(tmp_path / "run", search={"trials": 2})
    evaluated = run.trials().evaluated
    assert evaluated > 2, "all that are placed by hand come first"
    status = json.loads(nas("status", run.path, "--json").out)
    assert status["networks"] == {"evaluated": evaluated, "planned": evaluated}
    beyond = f"{evaluated - 2} beyond the 2 planned"
    assert f"networks: {evaluated} evaluated, {beyond}; on the front" in nas("status", run.path).out
    assert beyond in render(run)


def test_what_nobody_goes_on_with_is_not_called_running(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"COMPLETE": 3, "RUNNING": 1, "FAILED": 0}
    _print_counts(counts)
    _print_counts(counts, under_way="interrupted")
    assert capsys.readouterr().out == (
        "trials: 3 COMPLETE, 1 RUNNING\ntrials: 3 COMPLETE, 1 interrupted\n"
    )
