"""`nas status` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("run")


def test_how_far_a_run_is(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    status = json.loads(nas("status", finished_run, "--json").out)
    assert status["trials"]["RUNNING"] == 0
    assert status["networks"] == {"evaluated": 5, "planned": 5}
    assert status["regime"] == "finetune"  # that of its probes
    assert "regime finetune; not running" in nas("status", finished_run).out
