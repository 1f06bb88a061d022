"""Runs as processes of their own, to be waited for and killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.samples import QUICK, SMALL_SPACE

from nas.runs.run import open_run
from nas.study.record import COMPLETE


def nas(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "nas", *map(str, arguments)]


def start_search(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    space = folder / "small.yaml"
    space.write_text(SMALL_SPACE)
    sets = [item for override in (*QUICK, *overrides) for item in ("--set", override)]
    return subprocess.Popen(
        nas("search", space, "--out", folder / "run", *sets, "--trials", 12),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def happened(run: Path, text: str) -> bool:
    log = run / "events.log"
    return log.exists() and text in log.read_text()


def workers_of(driver: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == driver:
            found.append(int(entry.name))
    return found


def alive(process: int) -> bool:
    try:
        return "Z" not in (Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1][:3]
    except OSError:
        return False


def check_finished(run: Path, trials: int = 12) -> None:
    rows = open_run(run).trials()
    assert (rows["state"] == COMPLETE).all()
    firsts = rows["digest"][rows["repeat"] == 0]
    assert len(firsts) == len(set(firsts)) == trials
    pairs = list(zip(rows["digest"], rows["seed"], strict=True))
    assert len(set(pairs)) == len(pairs)
    assert (rows["trial"] == range(len(rows))).all()
