"""Timing a pack on a phone: adb is a script here, which copies into a folder and runs a shell."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest
from support.latency_profiles import small_space

from nas.base.errors import MeasurementError, SpecError
from nas.latency.pack import fit_pack, pack
from nas.latency.plan import plan_measurements
from nas.latency.remote import adb, ssh, time_pack
from nas.models.candidates import Candidates
from nas.spec.task import Task

ADB = """#!/bin/sh
[ "$2" = "lost" ] && { echo "error: device 'lost' not found"; exit 1; }
[ "$1" = "-s" ] && shift 2
verb="$1"; shift
echo "$verb $*" >> "$CALLS"
case "$verb" in
  push) for to; do :; done; for file; do [ "$file" = "$to" ] || cp "$file" "$to" || exit 1; done;;
  shell) sh -c "$*";;
esac
"""
TOOL = """#!/bin/sh
# As long as the file is: block-0001 takes 1 us more than block-0000.
file="${1#--graph=}"
[ "$file" = "$BROKEN" ] && { echo "ERROR: cannot invoke"; exit 0; }
echo "Inference timings in us: Init: 1, First inference: 9, Inference (avg): $(wc -c < "$file")"
"""


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the phone that the adb on PATH reaches."""
    programs = tmp_path / "bin"
    programs.mkdir()
    _program(programs / "adb", ADB)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("BROKEN", "")
    return tmp_path / "phone"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A pack whose files are as many bytes long as their number says."""
    candidates = Candidates(small_space())
    plan, graphs = plan_measurements(candidates, whole=2, held_out=1, seed=0)
    lengths = iter(range(1000, 9000))
    return pack(
        plan,
        graphs,
        lambda module, shape: b"x" * next(lengths),
        tmp_path / "pack",
        device="litert-threads2",
        runtime="litert 1",
        suffix=".tflite",
        how="",
        task=Task(outputs=10),
    )


def _rows(packed: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((packed / "timings.csv").read_text().splitlines()))


def test_a_phone_is_timed_gone_on_with_and_fitted(
    phone: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = _program(tmp_path / "my_tool", TOOL)
    names = [row["file"] for row in _rows(packed)]
    broken, seen = names[-1], list[tuple[int, int]]()
    monkeypatch.setenv("BROKEN", broken)
    with pytest.raises(MeasurementError, match=f"no time of {broken}; .*cannot invoke.*goes on"):
        time_pack(packed, adb(folder=str(phone)), tool=tool)
    before = [row for row in _rows(packed) if row["latency_ms"]]
    monkeypatch.setenv("BROKEN", "")
    calls = Path(os.environ["CALLS"])
    calls.unlink()
    time_pack(
        packed, adb("emulator-5554", str(phone)), tool=tool,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    rows = _rows(packed)
    assert seen[-1] == (2 * len(names), 2 * len(names)) and len(seen) == 2 * len(names) - len(
        before
    )
    assert all(row["latency_ms"] == row["again_ms"] for row in rows)
    assert float(rows[1]["latency_ms"]) == pytest.approx(1.001)
    timed = [line for line in calls.read_text().splitlines() if "--graph=" in line]
    order = [line.split("--graph=")[1].split()[0] for line in timed]
    assert order != sorted(order), "in random order"
    assert order[-len(names) :] != order[: len(names)] and "--num_threads=2" in timed[0]
    profile = fit_pack(packed, processor="a phone")
    assert (profile.device, profile.processor, profile.repeatability) == (
        "litert-threads2", "a phone", 0.0,
    )  # fmt: skip
    calls.unlink()
    time_pack(packed, adb(folder=str(phone)))
    assert not calls.exists(), "nothing is left to be timed"


def test_a_log_in_the_order_of_the_pack_is_fitted(packed: Path, tmp_path: Path) -> None:
    order = (packed / "order.txt").read_text().split()
    names = [row["file"] for row in _rows(packed)]
    assert sorted(order) == sorted(names * 2) and order != sorted(order)
    line = "Inference timings in us: Init: 1, Inference (avg): {}\n"
    log = tmp_path / "log.txt"
    log.write_text("".join(f"{name}\n{line.format(1000 + names.index(name))}" for name in order))
    profile = fit_pack(packed, logs=[log], processor="a phone")
    assert profile.repeatability == 0.0
    log.write_text("".join(f"{name}\n{line.format(5)}" for name in names[1:]))
    with pytest.raises(SpecError, match=f"no timing of {names[0]}"):
        fit_pack(packed, logs=[log], processor="a phone")
    with pytest.raises(SpecError, match="name the one or the other"):
        fit_pack(packed, packed / "timings.csv", logs=[log], processor="a phone")


def test_what_stands_in_the_way_is_one_line(
    phone: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MeasurementError, match="adb lost: error: device 'lost' not found"):
        time_pack(packed, adb("lost", str(phone)))
    with pytest.raises(MeasurementError, match="benchmark_model: .*not found"):
        time_pack(packed, adb(folder=str(phone)))  # no tool was sent, and none is there
    with pytest.raises(SpecError, match="a pack is made by"):
        time_pack(tmp_path, adb(folder=str(phone)))
    with pytest.raises(SpecError, match="--tool nowhere: no such file"):
        time_pack(packed, adb(folder=str(phone)), tool=Path("nowhere"))
    with pytest.raises(SpecError, match="host '-oProxyCommand=x'; allowed: a host as ssh takes it"):
        ssh("-oProxyCommand=x")
    (packed / "timings.csv").write_text("file,latency_ms\nother.tflite,1\n")
    with pytest.raises(SpecError, match=r"'other.tflite' is no file of this pack"):
        time_pack(packed, adb(folder=str(phone)))
    monkeypatch.setenv("PATH", "")
    (packed / "timings.csv").write_text("file,latency_ms\nblock-0000.tflite,1\n")
    with pytest.raises(SpecError, match="there is no program adb here; install it"):
        time_pack(packed, adb(folder=str(phone)))
    assert math.isclose(float(_rows(packed)[0]["latency_ms"]), 1.0), "nothing is lost"
