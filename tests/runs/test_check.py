"""What a new search is refused for, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.latency_profiles import example_profile
from support.samples import QUICK, SMALL_SPACE

from nas.base.errors import SpecError
from nas.models.cost import Cost
from nas.runs.check import check_new_run
from nas.runs.start import search
from nas.spec.runner import load_runner

pytestmark = pytest.mark.xdist_group("run")


def test_limits_that_no_network_keeps_start_no_run(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"{SMALL_SPACE}\nconstraints: {{params: 1000}}\n")
    with pytest.raises(SpecError, match="keeps its limit of 1,000 params: the smallest has"):
        search(space, load_runner(None, QUICK), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("nowhere.json", "cannot read the device profile nowhere.json: No such file"),
        ("phone", "unknown runtime 'phone'"),
        ("onnxruntime-fp8", "has no 'fp8'; allowed: fp32, int8"),
    ],
)
def test_wrong_devices_start_no_run(tmp_path: Path, device: str, said: str) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    with pytest.raises(SpecError, match=said):
        search(space, load_runner(None, (*QUICK, f"device={device}")), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_doubts_are_said_before_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a profile that is not certified, and of a limit on what is not counted whole."""
    space, profile = tmp_path / "space.yaml", tmp_path / "device.json"
    space.write_text(f"{SMALL_SPACE}\nconstraints: {{macs: 1.0e+9}}\n")
    monkeypatch.setattr("nas.runs.check.check_latency_device", lambda *_: shaky)
    monkeypatch.setattr("nas.runs.check.cost", lambda *_, **__: Cost(1, 1, ("aten::lstm",)))
    shaky = example_profile().model_copy(update={"repeatability": None})
    shaky.write(profile)
    runner = load_runner(None, (*QUICK, f"device={profile}"))
    notes = check_new_run(space, runner, "digits", tmp_path / "run").notes
    assert any("not certified: it was timed once" in note for note in notes)
    assert any("constraints.macs lets more pass" in note and "aten::lstm" in note for note in notes)


def test_a_profile_of_another_space_starts_no_run(tmp_path: Path) -> None:
    space, profile = tmp_path / "space.yaml", tmp_path / "device.json"
    space.write_text(SMALL_SPACE)
    example_profile().write(profile)
    with pytest.raises(SpecError, match="holds no mobilenetv2_035 at 32x32, total stride 16"):
        search(space, load_runner(None, (f"device={profile}",)), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()
