"""`nas profile` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.own_detectors import space_of
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
    check_doubts_are_said(nas, out, finished_run, space)


def test_a_detector_of_ones_own_is_measured_in_all_its_parts(nas, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    space, out = space_of(tmp_path), tmp_path / "device.json"
    few = ["--networks", 1, "--held-out", 1, "--out", out]
    ran = nas("profile", space, *few, "--task", "detection", "--head", "own", "--classes", 2)
    assert ran.code == 0, ran.err
    assert "ms plain" in ran.out and f"--set device={out}" in ran.out
    kept = out.read_text()
    assert "neck.down3.blocks.0/after_projection" in kept and "stages.0.1.blocks.0/" in kept
    assert nas("profile", "show", out).code == 0
    other = nas("profile", space, *few[:-1], tmp_path / "other.json")
    assert (other.code, other.out, other.err.count("\n")) == (2, "", 1)
    assert "images x classes" in other.err and "with --task and --head own" in other.err
    assert not (tmp_path / "other.json").exists()


def check_doubts_are_said(  # type: ignore[no-untyped-def]
    nas, profile: Path, run: Path, space: Path
) -> None:
    """Wherever figures of a profile are shown."""
    content = json.loads(profile.read_text()) | {"processor": "a phone\n[/bold]"}
    certified, doubtful = profile.with_name("certified.json"), profile.with_name("doubtful.json")
    doubtful.write_text(json.dumps(json.loads(profile.read_text()) | {"repeatability": 0.08}))
    assert "is not certified" in nas("profile", "check", doubtful).out
    certified.write_text(json.dumps(content | {"repeatability": 0.01}))
    doubtful.write_text(json.dumps(content | {"repeatability": 0.08}))
    for arguments in (
        ("profile", "show", "PROFILE"),
        ("profile", "compare", "PROFILE", certified),
        ("profile", "compare", certified, "PROFILE"),
        ("front", run, "--device", "PROFILE"),
        ("front", run, "--device", "PROFILE", "--json"),
        ("front", run, "--device", "PROFILE", "--markdown"),
        ("front", run, "--device", "PROFILE", "--findings"),
        ("front", run, "--device", "PROFILE", "--at", "latency_ms=100"),
        ("ask", space, "--device", "PROFILE"),
    ):
        for path, words in ((certified, 0), (doubtful, 1)):
            ran = nas(*[path if word == "PROFILE" else word for word in arguments])
            said = " ".join((ran.out + ran.err).split())
            assert ran.code in {0, 1}, said
            assert said.count("on a phone [/bold] is not certified") == words, (arguments, said)


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
