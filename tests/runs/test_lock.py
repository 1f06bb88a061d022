"""One driver at a time; those who look are in nobody's way."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.runs.lock import run_lock
from nas.runs.resume import resume
from nas.runs.run import open_run

pytestmark = pytest.mark.xdist_group("run")


def test_looking_at_a_run_leaves_no_trace_and_stops_no_driver(
    finished_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    run, before = open_run(path), (path / ".lock").read_bytes()
    assert not run.is_running()
    assert (path / ".lock").read_bytes() == before
    with run_lock(path):
        assert run.is_running()
    looking = threading.Event()

    def look() -> None:
        while not looking.is_set():
            assert run.is_running() in (True, False)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with run_lock(path):
                pass
    finally:
        looking.set()
        thread.join()
    (path / ".lock").unlink()
    assert not run.is_running() and not (path / ".lock").exists()


def test_two_drivers_do_not_work_on_one_run(finished_run: Path) -> None:
    with run_lock(finished_run), pytest.raises(SpecError, match=f"process {os.getpid()}"):
        resume(finished_run, trials=9)
    assert not open_run(finished_run).is_running()
