"""`nas compare` as its users meet it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("run")

Ran = tuple[int, str, str]
Call = Callable[..., Ran]


def test_two_runs_are_compared(nas: Call, finished_run: Path, tmp_path: Path) -> None:
    another = tmp_path / "another"
    shutil.copytree(finished_run, another)
    _, out, _ = nas("compare", finished_run, another)
    assert "inside the noise" in out or "Too few" in out
    found = json.loads(nas("compare", finished_run, another, "--json")[1])
    assert found["hypervolume"]["first"] == found["hypervolume"]["second"]
