"""`nas profile` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.samples import SMALL_SPACE

pytestmark = pytest.mark.xdist_group("run")


def test_profiles_are_measured_shown_and_compared(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, finished_run: Path
) -> None:
    space, out = tmp_path / "small.yaml", tmp_path / "device.json"
    space.write_text(SMALL_SPACE)
    few = ["--networks", 2, "--held-out", 1, "--classes", 10]
    ran = nas("profile", space, "--out", out, *few)
    assert ran.code == 0, ran.err
    assert "ms plain" in ran.out
    assert f"--set device={out}" in ran.out
    assert json.loads(nas("profile", "show", out, "--json").out)["quality"]["networks"] == 1
    assert "ratio" in nas("profile", "compare", out, out).out
    assert nas("profile", "check", out).code in {0, 1}
    projected = json.loads(nas("front", finished_run, "--device", out, "--json").out)
    assert all(point["latency_predicted"] for point in projected)
    assert "~" in nas("front", finished_run, "--device", out).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nowhere.json"], "cannot read the device profile"),
        (["SPACE", "--out", "x.json", "--runtime", "phone"], "unknown runtime 'phone'"),
        (["SPACE", "--out", "x.json", "--precision", "fp8"], "has no 'fp8'"),
        (["nowhere.yaml", "--out", "x.json"], "cannot read the search space"),
        (["fit", "nowhere", "t.csv", "--out", "x.json"], "a pack is made by"),
        (["pack", "SPACE", "--runtime", "torch", "--out", "pack"], "torch runs where this does"),
    ],
)
def test_wrong_profiles_are_said(  # type: ignore[no-untyped-def]
    nas, small_space: Path, tmp_path: Path, monkeypatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = nas("profile", *[str(small_space) if item == "SPACE" else item for item in arguments])
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
