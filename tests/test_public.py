"""What users import, and what it costs them."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

import nas


def test_the_public_names() -> None:
    assert nas.__all__ == sorted(nas.__all__)
    assert set(nas.__all__) == {
        "Architecture", "Candidates", "Cost", "Front", "Insertion", "NasError", "OwnNetwork",
        "ParetoSampler", "Point", "Run", "Runner", "SearchSpace", "SpecError", "Task", "ask",
        "blocks", "build", "compare", "cost", "draw", "evaluate", "front_of_runs", "insert",
        "load_runner", "load_space", "open_run", "resume", "search", "sites", "tuning", "uniform",
    }  # fmt: skip
    for name in nas.__all__:
        assert getattr(nas, name) is not None
    assert callable(nas.build) and callable(nas.cost) and callable(nas.search)
    assert nas.blocks.make_block("eca", channels=16, height=4, width=4)
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        _ = nas.serch  # type: ignore[attr-defined]


def test_every_module_lists_what_it_offers() -> None:
    for module in pkgutil.walk_packages(nas.__path__, "nas."):
        if module.name == "nas.__main__":
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # of an extra that is not installed
            assert module.name == f"nas.runs.loggers.{error.name}", module.name
            continue
        names = getattr(loaded, "__all__", [])
        assert len(set(names)) == len(names), module.name
        assert all(hasattr(loaded, name) for name in names), module.name


HEAVY = {"torch", "timm", "optuna", "ray", "onnxruntime", "pandas", "matplotlib"}


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import nas", HEAVY),
        ("import nas.cli.application", {*HEAVY, "scipy", "pydantic_core"}),
        ("import nas.cli, nas.runs.run, nas.study.front.front", HEAVY),
        ("import nas; nas.build, nas.cost, nas.insert, nas.load_space", HEAVY - {"torch", "timm"}),
        ("import nas; nas.search, nas.resume", HEAVY - {"torch", "timm", "optuna"}),
        ("import nas.report, nas.export", {"ray", "onnxruntime"}),
    ],
)
def test_packages_are_imported_where_they_are_used(statement: str, heavy: set[str]) -> None:
    code = f"{statement}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "then"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")]
)
def test_threads_do_not_wait_busily_unless_told_to(given: dict[str, str], then: str) -> None:
    environment = {key: text for key, text in os.environ.items() if key != "OMP_WAIT_POLICY"}
    code = "import nas, os\nprint(os.environ['OMP_WAIT_POLICY'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == then
