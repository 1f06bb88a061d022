"""A file of a user's own network that is edited between the start of a run and going on with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.samples import QUICK

from nas.base.errors import SpecError
from nas.runs.own_backbones import check_own_backbones
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.runner import load_runner

OWN = """
from torch import nn


class Own(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16))
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 16, 1))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.block(x)
        return self.head(x.mean((2, 3)))
"""
SPACE = """
name: own
backbones: ["FILE:Own"]
resolutions: [16]
blocks: {eca: {}}
"""

pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    (folder / "space.yaml").write_text(SPACE.replace("FILE", str(folder / "own.py")))
    search(
        folder / "space.yaml", load_runner(None, (*QUICK, "search.trials=2", "workers=1")),
        "digits", folder / "run",
    )  # fmt: skip
    return folder / "run"


def nas_says(run: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own: one process keeps the code that it has read."""
    return subprocess.run(
        [sys.executable, "-m", "nas", *map(str, words)], capture_output=True, text=True, cwd=run
    )


def test_what_an_own_network_is_made_of_is_kept(run: Path) -> None:
    (kept,) = json.loads((run / "environment.json").read_text())["backbones"].values()
    assert kept.keys() == {"tensors", "layers", "params", "source"}


def test_other_code_for_the_same_layers_is_taken_and_said(run: Path) -> None:
    (run.parent / "own.py").write_text(f"{OWN}\n# a remark\n")
    done = nas_says(run, "resume", run, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "own.py:Own has changed since" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("3, 1, 1, groups=16", "3, 1, 1", "it has 3,242 weights, and had 1,082"),
        ("self.head", "self.classifier", "its weights have other names or shapes"),
        ("16, 3, 2, 1)", "16, 3, 1, 1)", "its layers are others, with the same weights"),
    ],
)
def test_an_edited_file_that_makes_another_network_is_refused(
    run: Path, before: str, after: str, said: str
) -> None:
    (run.parent / "own.py").write_text(OWN.replace(before, after))
    for name in [name for name in sys.modules if name.startswith("own_own_")]:
        del sys.modules[name]  # as in another process
    with pytest.raises(SpecError, match=f"own.py:Own is not what .* {said}; put its code back"):
        check_own_backbones(open_run(run))


@pytest.mark.slow
def test_so_it_is_by_all_that_build_it(run: Path) -> None:
    (run.parent / "own.py").write_text(OWN.replace("self.head", "self.classifier"))
    kept = (run / "run.yaml").read_text()
    for words in (
        ("resume", run, "--trials", 9),
        ("retrain", run, "--trial", 1),
        ("export", run, 1, "--out", run.parent / "pack"),
    ):
        done = nas_says(run, *words)
        (line,) = done.stderr.strip().splitlines()
        assert done.returncode == 2 and "own.py:Own is not what" in line
    assert (run / "run.yaml").read_text() == kept and not (run.parent / "pack").exists()
    assert nas_says(run, "front", run).returncode == 0


def test_runs_of_before_do_not_say_what_theirs_were(run: Path) -> None:
    environment = run / "environment.json"
    kept = environment.read_text()
    about = json.loads(kept)
    del about["backbones"]
    environment.write_text(json.dumps(about))
    assert check_own_backbones(open_run(run)) == []
    environment.write_text(kept)
