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
