"""Killed, interrupted and starved: what happens to a run whose processes die. Slow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.run_processes import (
    alive,
    check_finished,
    happened,
    nas,
    start_search,
    wait_until,
    workers_of,
)

from nas.runs.run import open_run
from nas.study.record import COMPLETE, PAUSED, PRUNED

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


@pytest.mark.parametrize(
    "moment", ["training the plain", "searching", "trial 1 COMPLETE", "trial 7 COMPLETE"]
)
def test_a_killed_driver_leaves_a_run_that_goes_on(tmp_path: Path, moment: str) -> None:
    driver = start_search(tmp_path)
    run = tmp_path / "run"
    wait_until(lambda: happened(run, moment))
    workers = workers_of(driver.pid)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait_until(lambda: not any(map(alive, workers)), 30)
    losses = {}
    if moment.startswith("trial"):
        rows = open_run(run).trials()
        done = rows["state"] == COMPLETE
        losses = dict(zip(rows["trial"][done], rows["loss"][done], strict=True))
        assert losses
    resumed = subprocess.run(nas("resume", run), capture_output=True, text=True, check=True)
    assert "Next:" in resumed.stdout
    check_finished(run)
    rows = open_run(run).trials()
    assert all(rows["loss"][trial] == loss for trial, loss in losses.items())


def test_a_driver_killed_while_networks_wait_at_a_rung(tmp_path: Path) -> None:
    driver = start_search(tmp_path, "proxy.rungs=[1,2,4]")
    run = tmp_path / "run"
    wait_until(lambda: happened(run, "trial 7 PAUSED"))
    workers = workers_of(driver.pid)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait_until(lambda: not any(map(alive, workers)), 30)
    before = [record for record in map(open_run(run).row, range(8)) if record["state"] == PAUSED]
    assert before
    status = subprocess.run(nas("status", run), capture_output=True, text=True, check=True)
    assert " PAUSED" in status.stdout
    resumed = subprocess.run(nas("resume", run), capture_output=True, text=True, check=True)
    assert "12 networks, " in resumed.stdout and " stopped early: " in resumed.stdout
    rows = open_run(run).trials()
    assert set(rows["state"]) == {COMPLETE, PRUNED}
    firsts = rows["digest"][rows["repeat"] == 0]
    assert len(firsts) == len(set(firsts)) == 12
    for record in before:
        now = open_run(run).row(record["trial"])
        losses = [rung[1] for rung in json.loads(now["rungs"] or "[]")] + [now["loss"]]
        assert losses[len(json.loads(record["rungs"] or "[]"))] == record["loss"]
        if now["state"] == PRUNED:
            shown = subprocess.run(
                nas("show", run, record["trial"]), capture_output=True, text=True, check=True
            )
            assert "stopped early: trained for " in shown.stdout
    assert not list(run.glob("checkpoints/*/*.training.safetensors"))


def test_ctrl_c_stops_soon_and_says_how_to_go_on(tmp_path: Path) -> None:
    driver = start_search(tmp_path)
    run = tmp_path / "run"
    wait_until(lambda: happened(run, "trial 2 COMPLETE"))
    workers = workers_of(driver.pid)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 130
    assert f"resume {run}" in out
    assert "Traceback" not in err
    assert not any(map(alive, workers))
    status = subprocess.run(
        nas("status", run, "--json"), capture_output=True, text=True, check=True
    )
    assert json.loads(status.stdout)["driver"] == "not running"
    assert json.loads(status.stdout)["front"] > 0
    subprocess.run(nas("resume", run), capture_output=True, check=True)
    check_finished(run)


def test_workers_killed_again_and_again(tmp_path: Path) -> None:
    driver = start_search(tmp_path)
    run = tmp_path / "run"
    for number in (1, 4, 8):
        wait_until(lambda text=f"trial {number} COMPLETE": happened(run, text))  # type: ignore[misc]
        for worker in workers_of(driver.pid):
            os.kill(worker, signal.SIGKILL)
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 0, err
    assert "it is tried again" in out
    check_finished(run)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/bin/mount").exists(), reason="needs to mount")
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2400k", "tmpfs", str(disk)])
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        driver = start_search(disk)
        _, err = driver.communicate(timeout=400)
        assert driver.returncode == 2, err
        assert err.count("\n") == 1, err
        assert "free some space" in err
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        subprocess.run(nas("resume", disk / "run"), capture_output=True, check=True)
        check_finished(disk / "run")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
