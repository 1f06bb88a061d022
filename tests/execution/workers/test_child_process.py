"""Programs beside the driver."""

from __future__ import annotations

import os
import queue
import sys
from pathlib import Path

import pytest

from nas.base.errors import NasError
from nas.execution.workers.child_process import ChildProcess

ECHO = "import sys; [print(line, end='', flush=True) for line in sys.stdin]"


def test_lines_go_to_it_and_come_back_until_it_ends(tmp_path: Path) -> None:
    heard: queue.Queue[str | None] = queue.Queue()
    program = [sys.executable, "-u", "-c", ECHO]
    beside = ChildProcess(program, threads=1, log=tmp_path / "log", heard=heard.put)
    beside.write({"a": 1})
    assert heard.get(timeout=400) == '{"a": 1}\n'
    beside.terminate()
    assert heard.get(timeout=400) is None
    assert beside.wait(400) == "killed by SIGTERM"


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux alone has it")
def test_it_dies_before_the_driver_where_memory_runs_out(tmp_path: Path) -> None:
    heard: queue.Queue[str | None] = queue.Queue()
    look = "import sys; sys.stdin.readline(); print(open('/proc/self/oom_score_adj').read())"
    program = [sys.executable, "-c", look]
    beside = ChildProcess(program, threads=1, log=tmp_path / "log", heard=heard.put)
    beside.write("look")
    told = heard.get(timeout=400)
    assert told is not None
    assert int(told) > int(Path(f"/proc/{os.getpid()}/oom_score_adj").read_text())
    assert beside.wait(400) == "exit code 0"


def test_a_program_that_cannot_be_started_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="a worker cannot be started: No such file"):
        ChildProcess([str(tmp_path / "none")], threads=1, log=tmp_path / "log", heard=print)
