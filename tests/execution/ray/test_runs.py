"""Whole runs on Ray: what they find, who can reach them, and how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.object_store import bucket
from support.samples import QUICK, ROOT

from nas.runs.resume import resume
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.runner import load_runner
from nas.study.record import COMPLETE

__all__ = ["bucket"]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own

LISTENING = """
import sys
from nas.execution.ray.cluster import connect
from nas.spec.runner import Ray
with connect(Ray(), cores=1, say=print) as place:
    from nas.base.machine import usable_cores
    assert place(usable_cores) >= 1
    print("up", flush=True)
    sys.stdin.read()
"""


def test_a_cluster_of_its_own_listens_on_loopback_alone() -> None:
    python = [sys.executable, "-c", LISTENING]
    with subprocess.Popen(python, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as own:
        assert own.stdout is not None and own.stdin is not None
        assert own.stdout.readline() == "up\n"
        addresses = listening(descendants(own.pid))
        own.stdin.close()
        assert own.wait() == 0
    assert len(addresses) >= 3
    for address in addresses:
        # As the kernel writes 127.0.0.1, in IPv4 and mapped into IPv6.
        assert address in {"0100007F", "0000000000000000FFFF00000100007F"}, address


def descendants(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids: set[int]) -> list[str]:
    """Addresses, as /proc/net/tcp writes them, that these processes listen on."""
    sockets: set[str] = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.append(fields[1].partition(":")[0])
    return found


@pytest.mark.parametrize("executor", ["ray", "tune"])
def test_weights_and_images_may_go_through_object_storage(
    bucket: str, finished_run: Path, small_space: Path, tmp_path: Path, executor: str
) -> None:
    asked = ("proxy.backbone.epochs=2", f"executor={executor}", f"checkpoints={bucket}/runs")
    run = search(small_space, load_runner(None, (*QUICK, *asked)), "digits", tmp_path / "away")
    assert not (run.path / "checkpoints").exists()
    found, expected = run.trials(), open_run(finished_run).trials()
    # Who is confirmed hangs on latencies, which are measured.
    assert len(set(found["loss"]) & set(expected["loss"])) >= 5
    assert len(list(run.checkpoints.rglob("seed-*.safetensors"))) == len(found)


@pytest.mark.parametrize("executor", ["ray", "tune"])
def test_a_run_goes_on_as_on_one_machine(finished_run: Path, tmp_path: Path, executor: str) -> None:
    """Killed by a scheduler in the middle; then gone on with to the same end as locally."""
    expected, found = tmp_path / "local", tmp_path / executor
    shutil.copytree(finished_run, expected)
    shutil.copytree(finished_run, found)
    resume(expected, trials=7, workers=1)
    text = (found / "run.yaml").read_text().replace("executor: local", f"executor: {executor}")
    (found / "run.yaml").write_text(text)
    command = [sys.executable, "-m", "nas", "resume", str(found), "--trials", "7", "--workers", "1"]
    began = len(open_run(found).trials())
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as driver:
        while driver.poll() is None and len(open_run(found).trials()) == began:
            time.sleep(0.2)
        family = descendants(driver.pid) - {driver.pid}
        driver.send_signal(signal.SIGTERM)
        assert driver.wait() != 0
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [pid for pid in family if alive(pid)], "nothing is left running"
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0
    mine, theirs = open_run(found).trials(), open_run(expected).trials()
    assert (mine["state"] == COMPLETE).all()
    assert (mine["digest"] == theirs["digest"]).all()
    assert (mine["loss"] == theirs["loss"]).all()
    assert all(point.latency_final for point in open_run(found).front())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_search_that_cannot_begin_leaves_its_folder_free(
    small_space: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = [sys.executable, "-m", "nas", "search", str(small_space), "--out", str(out)]
    words += [item for setting in QUICK for item in ("--set", setting)]
    words += ["--set", "executor=ray", "--set", "ray.gpus=64"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2, done.stderr
    assert "a trial takes 1 CPU, 64 GPU" in done.stderr and not out.exists()
