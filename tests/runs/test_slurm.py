"""The SLURM recipes on a real cluster of two machines. Slow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.run_processes import happened
from support.samples import QUICK, ROOT, SMALL_SPACE
from support.slurm_cluster import SlurmCluster

from nas.runs.run import open_run
from nas.runs.submit import Submission, plan_steps
from nas.study.record import COMPLETE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

SETS = tuple(word for item in QUICK for word in ("--set", item))
ARRAY = ROOT / "runners" / "slurm-array.sbatch"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    if reason := SlurmCluster.missing():
        pytest.skip(reason)
    with SlurmCluster() as made:
        (made.shared / "space.yaml").write_text(SMALL_SPACE)
        yield made


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.5)


def check_finished(run: Path, networks: int) -> None:
    rows = open_run(run).trials()
    assert (rows["state"] == COMPLETE).all()
    firsts = rows["digest"][rows["repeat"] == 0]
    assert len(firsts) == len(set(firsts)) == networks


def test_a_search_by_ray_on_two_machines_goes_on_after_it_was_taken_off_them(
    cluster: SlurmCluster,
) -> None:
    run = cluster.shared / "ray"
    order = Submission(cluster.shared / "space.yaml", str(run), ("--trials", "12", *SETS))
    (step,) = plan_steps(ROOT / "runners" / "slurm.sbatch", order)
    sbatch, *words = step.command
    job = cluster.submit(sbatch, "--cpus-per-task=2", "--output=ray.log", *words)
    wait_until(lambda: happened(run, "trial 3 COMPLETE") or cluster.state(job) == "FAILED")
    cluster.requeue(job)
    wait_until(lambda: cluster.state(job) in {"COMPLETED", "FAILED"})
    log = cluster.log("ray.log")
    assert cluster.state(job) == "COMPLETED", log
    assert log.count("'nas', 'search'") == log.count("'nas', 'resume'") == 1
    check_finished(run, 12)
    assert not list(cluster.shared.glob("**/ray-*-[0-9]*")), "its own files are gone"


def test_workers_of_an_array_hand_back_their_jobs_when_they_are_taken_away(
    cluster: SlurmCluster,
) -> None:
    run = cluster.shared / "array"
    command = [sys.executable, "-m", "nas", "search", "space.yaml", "--out", str(run), *SETS]
    driver = subprocess.Popen(
        [*command, "--trials", "12", "--set", "executor=worker"], cwd=cluster.shared
    )
    try:
        wait_until(lambda: happened(run, "searching"))
        options = ["--array=1-2", "--output=array-%a.log"]
        job = cluster.submit("sbatch", *options, str(ARRAY), str(run))
        wait_until(lambda: happened(run, "trial 3 COMPLETE"))
        cluster.requeue(f"{job}_1")
        assert driver.wait(timeout=300) == 0
    finally:
        driver.kill()
        driver.wait()
    log = cluster.log("array-1.log")
    assert "stopped" in log, log
    check_finished(run, 12)
