"""What all tests stand on: a cache of their own, and one real run for all that read runs."""

from __future__ import annotations

import os

# Before torch is imported: tests run side by side, and threads that wait for each other crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import settings
from support.samples import QUICK, SMALL_SPACE

pytest_plugins = ["support.databases", "support.task_runs"]

# Fixtures that search, and the group of the tests that ask for them.
SHARED_RUNS = {"finished_run": "run", "run_of": "task runs"}

# A busy machine is not a fault of the code.
settings.register_profile("nas", deadline=None)
settings.load_profile("nas")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that share a fixture to one process: every other would make it once more."""
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            if group := _group_of(item):
                item.add_marker(pytest.mark.xdist_group(group))


def _group_of(item: pytest.Function) -> str | None:
    for fixture, group in SHARED_RUNS.items():
        if fixture in item.fixturenames:
            return group
    makers = item._fixtureinfo.name2fixturedefs.values()
    if any(maker[-1].scope == "module" for maker in makers):
        return item.path.stem
    return None


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images go into a temporary folder, one for all processes that run tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "cache").mkdir(exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")


@pytest.fixture
def small_space(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_SPACE)
    return path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real search, as short as it can be: six networks, two seeds, two workers."""
    from nas.runs.start import search
    from nas.spec.runner import load_runner

    folder = tmp_path_factory.mktemp("runs")
    space = folder / "small.yaml"
    space.write_text(SMALL_SPACE)
    # A backbone that has learnt something: exports are compared on sensible scores.
    runner = load_runner(None, (*QUICK, "proxy.backbone.epochs=2"))
    search(space, runner, "digits", folder / "run")
    return folder / "run"
