"""`nas show` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("run")


def test_a_trial_is_shown(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    shown = nas("show", finished_run, 1)
    assert shown.code == 0
    assert "blocks.1.0/after_depthwise" in shown.out
    assert "hand-placed reference: se/r24" in shown.out
    assert json.loads(nas("show", finished_run, 1, "--json").out)["state"] == "COMPLETE"


def test_feature_maps_are_drawn(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shown = nas("show", finished_run, 1, "--picture", tmp_path / "maps.png")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.endswith(f"Written: {tmp_path}/maps.png\n")
    assert (tmp_path / "maps.png").read_bytes()[:4] == b"\x89PNG"
    shown = nas("show", finished_run, 1, "--json", "--picture", tmp_path / "again.png")
    assert json.loads(shown.out)["state"] == "COMPLETE" and (tmp_path / "again.png").exists()
    wrong = nas("show", finished_run, 1, "--picture", tmp_path / "maps.jpg")
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (2, "", 1), wrong.err
