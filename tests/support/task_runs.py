"""Real runs of each task, as short as they can be, for all tests that read one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nas.runs.run import Run

SPACE = """
name: tiny
backbones: [mobilenetv2_035]
resolutions: [16]
total_stride: 8
sites: {granularity: stage, exclude: ["blocks.0.*"]}
blocks:
  se: {reduction: [8, 24]}
  coord: {reduction: [32]}
"""

RUNNER = (
    "workers=1",
    "search.trials=4",
    "search.confirm_seeds=1",
    "proxy.kind=scratch",
    "proxy.unit=steps",
    "proxy.rungs=[2]",
    "proxy.subset=200",
)

RunOf = Callable[[str], "Run"]


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    """Searches of four networks on digits, by task; each is made when it is first asked for.

    Tests read them; one that adds to a run takes a copy.
    """
    from nas.runs.run import open_run
    from nas.runs.start import search
    from nas.spec.runner import load_runner

    folder = tmp_path_factory.mktemp("tasks")
    space = folder / "tiny.yaml"
    space.write_text(SPACE)

    @cache
    def made(task: str) -> Run:
        search(space, load_runner(None, (*RUNNER, f"task={task}")), "digits", folder / task)
        return open_run(folder / task)

    return made
