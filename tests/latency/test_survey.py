"""Measuring a tiny space for real, on this machine and on another."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.latency_profiles import small_space

from nas.base.errors import MeasurementError, SpecError
from nas.latency import survey as surveying
from nas.latency.device import Device
from nas.latency.measure import Anchor, Latency
from nas.latency.pack import fit_pack, pack_space, read_timings
from nas.latency.plan import plan_measurements
from nas.latency.profile import Profile
from nas.latency.quality import judge_profile
from nas.latency.survey import is_of_this_machine, loader_of, measure_drift, measure_profile
from nas.models.candidates import Candidates
from nas.spec.task import Task

FEW: dict[str, Any] = {"networks": 2, "held_out": 2, "classes": 10}
TIMING = """
import csv, sys, time
from pathlib import Path
import numpy, onnxruntime
folder = Path(sys.argv[1])
rows = []
for path in sorted(folder.glob("*.onnx")):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    read = session.get_inputs()[0]
    images = numpy.zeros(read.shape, numpy.float32)
    times = []
    for _ in range(12):
        before = time.thread_time()
        session.run(None, {read.name: images})
        times.append((time.thread_time() - before) * 1e3)
    rows.append((path.name, sorted(times[2:7])[2], sorted(times[7:])[2]))
with open(sys.argv[2], "w", newline="") as stream:
    writer = csv.writer(stream)
    writer.writerow(("file", "latency_ms", "again_ms"))
    writer.writerows(rows)
"""


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    rule = {"exclude": ["blocks.[0123].*"], "granularity": "stage"}
    return Candidates(small_space(sites=rule, blocks={"se": {"reduction": [8, 24]}, "eca": {}}))


@pytest.fixture(scope="module")
def measured(candidates: Candidates, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    path = tmp_path_factory.mktemp("device") / "device.json"
    return measure_profile(candidates, Device("onnxruntime"), path, **FEW)


def test_a_profile_predicts_what_is_measured(measured: Profile, candidates: Candidates) -> None:
    judged = judge_profile(measured)
    # How good it is hangs on what else runs here; what is exact is in test_profile.py.
    assert judged.networks == 2 and 0 <= judged.mape < math.inf
    for architecture in candidates.references().values():
        assert measured.predict(architecture).latency_ms > 0
    assert is_of_this_machine(measured)
    assert 0 < measure_drift(measured, networks=2).ratio < math.inf


def test_a_profile_of_elsewhere_is_not_checked_here(measured: Profile) -> None:
    other = measured.model_copy(update={"processor": "a phone"})
    assert not is_of_this_machine(other)
    with pytest.raises(SpecError, match="a phone.*check it there"):
        measure_drift(other)


def test_an_interrupted_survey_goes_on(
    candidates: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "_TOGETHER", 2)
    out = tmp_path / "device.json"
    seen: list[int] = []

    def stop(done: int, _of: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_profile(candidates, Device("onnxruntime"), out, progress=stop, **FEW)
    assert not out.exists()
    kept = json.loads((tmp_path / ".device.json.timings").read_text())
    assert len(kept["graphs"]) == 4
    with pytest.raises(SpecError, match="holds timings of onnxruntime"):
        measure_profile(candidates, Device("onnxruntime", batch=2), out, **FEW)
    seen.clear()
    measure_profile(
        candidates, Device("onnxruntime"), out, progress=lambda d, o: seen.append(d), **FEW
    )
    assert seen[0] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["device.json"]


def test_what_was_timed_of_another_space_does_not_say_how_fast_this_ones_anchor_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file of a profile, another backbone: an interrupted survey left an anchor there."""
    anchors = iter([3.0, 7.0])
    monkeypatch.setattr(surveying, "measure_anchor", lambda *_, **__: next(anchors))

    def beside(subjects: dict[str, Any], anchor: Anchor, **_: object) -> dict[str, Latency]:
        return {name: Latency(anchor.latency_ms, None, 0.01) for name in subjects}

    monkeypatch.setattr(surveying, "measure_together", beside)

    def stop(done: int, _of: int) -> None:
        raise KeyboardInterrupt

    def time(backbone: str, progress: Callable[[int, int], None]) -> dict[str, Latency]:
        space = small_space(backbones=[backbone], sites={"exclude": ["blocks.[0-5].*"]})
        plan, graphs = plan_measurements(Candidates(space), whole=2, held_out=1, seed=0)
        return surveying.survey(
            plan, graphs, lambda module, shape: lambda image: None, keep=tmp_path / "timings",
            device="this", task=Task(outputs=10), progress=progress,
        )[1]  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        time("mobilenetv2_035", stop)
    networks = time("mobilenetv2_050", lambda done, of: None)
    assert {latency.latency_ms for latency in networks.values()} == {7.0}


def test_a_pack_timed_by_another_process_makes_a_profile(
    candidates: Candidates, tmp_path: Path
) -> None:
    folder, timings = tmp_path / "pack", tmp_path / "timings.csv"
    pack_space(candidates, Device("onnxruntime"), folder, **FEW)
    readme = (folder / "README.md").read_text()
    assert "onnxruntime_perf_test" in readme
    assert "nas profile fit" in readme
    subprocess.run([sys.executable, "-c", TIMING, str(folder), str(timings)], check=True)
    profile = fit_pack(folder, timings, processor="a board")
    assert (profile.device, profile.processor) == ("onnxruntime", "a board")
    assert profile.repeatability is not None
    for architecture in candidates.references().values():
        assert profile.predict(architecture).latency_ms > 0
    with pytest.raises(SpecError, match="exists and is not empty"):
        pack_space(candidates, Device("onnxruntime"), folder, **FEW)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "its first line must name"),
        ("name,time\na.onnx,1\n", "its first line must name"),
        ("file,latency_ms\na.onnx,1\n", "no timing of b.onnx"),
        ("file,latency_ms\na.onnx,1\nb.onnx,2\na.onnx,1\n", "a.onnx stands there twice"),
        ("file,latency_ms\na.onnx,1,5\nb.onnx,2\n", "line 2: it has more fields .* semicolons"),
        ("file,latency_ms\na.onnx,-1\nb.onnx,2\n", "found '-1' for a.onnx"),
        ("file,latency_ms\na.onnx,nan\nb.onnx,2\n", "found 'nan' for a.onnx"),
        ("file,latency_ms\na.onnx,\nb.onnx,2\n", "found '' for a.onnx"),
        ("file,latency_ms\nc.onnx,1\n", "'c.onnx' is no file of this pack"),
        ("file,latency_ms,again_ms\na.onnx,1,x\nb.onnx,2,2\n", "found 'x' for a.onnx"),
    ],
)
def test_wrong_timings_are_said_in_one_line(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "timings.csv"
    path.write_text(rows)
    with pytest.raises(SpecError, match=said) as caught:
        read_timings(path, {"a.onnx": "1", "b.onnx": "2"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "encoding"),
    [
        ("file,latency_ms,again_ms\na.onnx,1.5,1.5\nb.onnx,2,2\n", "utf-8-sig"),
        ("file;latency_ms;again_ms\r\na.onnx;1,5;1,5\r\nb.onnx;2;2\r\n", "utf-8-sig"),
        ("file\tlatency_ms\tagain_ms\r\na.onnx\t1.5\t1.5\r\nb.onnx\t2\t2\r\n", "utf-16"),
    ],
)
def test_timings_are_read_as_spreadsheets_write_them(
    tmp_path: Path, rows: str, encoding: str
) -> None:
    (path := tmp_path / "timings.csv").write_bytes(rows.encode(encoding))
    found = read_timings(path, {"a.onnx": "1", "b.onnx": "2"})
    assert {name: latency.latency_ms for name, latency in found.items()} == {
        "a.onnx": 1.5,
        "b.onnx": 2.0,
    }


def test_a_pack_is_a_folder_with_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a pack is made by"):
        fit_pack(tmp_path, tmp_path / "timings.csv", processor="p")


def test_no_pack_for_what_runs_only_here(candidates: Candidates, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="torch runs where this does"):
        pack_space(candidates, Device("torch"), tmp_path / "pack")


def test_a_runtime_that_is_not_installed_says_how_to_get_it(
    candidates: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.latency.runtime.runtime.version", lambda name: None)
    with pytest.raises(MeasurementError, match="pip install"):
        measure_profile(candidates, Device("openvino"), tmp_path / "device.json")
    assert not list(tmp_path.iterdir())
    assert loader_of(Device("torch"))
