from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nas.execution.workers.throughput import ThroughputGauge

GIB = 2**30

# Speaks as a training would, 1000 images a second; with a number in LIMIT, all but the first so
# many end at once, as where memory runs out.
FAKE = """
import json, os, pathlib, sys, time
start = json.loads(sys.stdin.readline())
folder = pathlib.Path(start["folder"])
(folder / f"{os.getpid()}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
if len(list(folder.iterdir())) > start["limit"]:
    sys.exit(1)
images = 0
while os.getppid() == start["parent"]:
    print(json.dumps({"images": images, "at": images / 1000}), flush=True)
    images += 10
    time.sleep(0.02)
"""


# Speaks as one of several trainings would, each 1000 images a second.
SEVERAL = """
import json, os, pathlib, sys, time
start = json.loads(sys.stdin.readline())
(pathlib.Path(start["folder"]) / f"{os.getpid()}").write_text(str(start["at_a_time"]))
images = 0
while os.getppid() == start["parent"]:
    print(json.dumps({"images": images * start["at_a_time"], "at": images / 1000}), flush=True)
    images += 10
    time.sleep(0.02)
"""


def test_trainings_of_one_process_are_begun_anew_for_each_number_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    with ThroughputGauge(
        {"folder": str(folder), "parent": os.getpid()},
        threads=1,
        log=tmp_path / "log",
        gpu=None,
        memory=lambda: None,
        placement="streams",
        program=(sys.executable, "-c", SEVERAL),
        watched=0.5,
    ) as gauge:
        for number in (1, 2, 4):
            measured = gauge.measure(number)
            assert measured is not None and measured.number == number
            assert measured.images == pytest.approx(1000 * number)
            running = [path for path in folder.iterdir() if Path(f"/proc/{path.name}").exists()]
            assert [path.read_text() for path in running] == [str(number)]
    assert sorted(path.read_text() for path in folder.iterdir()) == ["1", "2", "4"]


@pytest.mark.parametrize("limit, found", [(99, [1, 2, 4]), (3, [1, 2, None])])
def test_processes_go_on_while_others_join_and_end_with_the_measurement(
    limit: int, found: list[int | None], tmp_path: Path
) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    free = iter([40 * GIB, 39 * GIB, 38 * GIB, 36 * GIB])
    with ThroughputGauge(
        {"folder": str(folder), "limit": limit, "parent": os.getpid()},
        threads=1,
        log=tmp_path / "log",
        gpu="GPU-5",
        memory=lambda: next(free),
        program=(sys.executable, "-c", FAKE),
        watched=0.5,
    ) as gauge:
        for number, expected in zip((1, 2, 4), found, strict=True):
            measured = gauge.measure(number)
            if expected is None:
                assert measured is None
                continue
            assert measured is not None and measured.number == expected
            assert measured.images == pytest.approx(1000 * expected)  # by the clock of each
            assert (measured.taken, measured.free) == (number * GIB, 40 * GIB)
    begun = list(folder.iterdir())
    assert len(begun) == 4  # each once
    assert {path.read_text() for path in begun} == {"GPU-5"}
    for path in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)
