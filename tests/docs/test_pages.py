"""Every page is executed: its commands and its Python, in order, in a folder of its own.

Searches and trainings are made tiny by what `_shim` adds to a command, so that pages show what a
reader would type. How pages are marked: tests/support/documentation.py.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.documentation import ROOT, Block, blocks, pages
from support.samples import SMALL_SPACE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs")]

# Keys of the runner; and what each command gets behind what the page shows of it.
_KEYS = {
    "workers": 2,
    "search": {"trials": 6, "confirm_seeds": 1},
    "proxy": {
        "unit": "steps",
        "rungs": [4],
        "batch_size": 16,
        "backbone": {"weights": "train", "epochs": 0.5},
    },
}
_SET = [
    "--set=proxy.unit=steps",
    "--set=proxy.rungs=[4]",
    "--set=proxy.batch_size=16",
    "--set=proxy.backbone.epochs=0.5",
]
_SEARCH = [
    *_SET,
    *("--set=search.confirm_seeds=1", "--set=retrain.epochs=0.1", "--trials=6", "--workers=2"),
]
TINY = {
    "search": _SEARCH,
    "resume": ["--trials=20"],  # full trainings at a search's end may have added some to the six
    "calibrate": [
        *_SET,
        *("--networks=8", "--seeds=2", "--full-epochs=0.05", "--no-scores", "--workers=2"),
    ],
    "retrain": ["--epochs=0.03", "--seeds=1", "--set=retrain.batch_size=32", "--workers=2"],
    "supernet": [*_SET, "--epochs=0.05"],
    "profile": ["--networks=2", "--held-out=1"],
}
SPACE = SMALL_SPACE + "  coord: {reduction: [32]}\n"
_KEEP = {"profile": {"show", "compare", "check", "fit"}}

_SHIM = """#!{python}
import os, sys
tiny, keep = {tiny!r}, {keep!r}
words = sys.argv[1:]
first = words[0] if words else ""
if not (len(words) > 1 and words[1] in keep.get(first, ())):
    words += tiny.get(first, [])
os.execv({python!r}, [{python!r}, "-m", "nas", *words])
"""

EXECUTED = [page for page in pages() if any(block.runs for block in blocks(page))]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nas`, which makes searches tiny, and the `python` that the tests run in."""
    folder = tmp_path_factory.mktemp("bin")
    _write_program(folder / "nas", _SHIM.format(python=sys.executable, tiny=TINY, keep=_KEEP))
    _write_program(folder / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    return folder


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Path:
    """What pages take for granted: the content of a clone, a finished run, two device profiles,
    and a folder of photos.
    """
    folder = tmp_path_factory.mktemp("workshop")
    for name in ("search_spaces", "runners", "results"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "search_spaces" / "mobilenetv2-small.yaml").write_text(SPACE)
    (folder / "runners" / "local.yaml").write_text(json.dumps(_KEYS))
    _write_photos(folder / "photos")
    space = "search_spaces/mobilenetv2-small.yaml"
    # Rules need eight networks, and words on noise need seeds.
    wanted = shlex.join([*_SET, "--set=search.confirm_seeds=2", "--trials=9", "--workers=2"])
    _run(f"python -m nas search {space} --out runs/demo {wanted}", folder, programs)
    _run(f"nas profile {space} --out laptop.json", folder, programs)
    shutil.copy(folder / "laptop.json", folder / "phone.json")
    for name in ("first", "second"):
        shutil.copytree(folder / "runs" / "demo", folder / "runs" / name)
    return folder


def _write_photos(root: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 12)):
        for shade, name in enumerate(("dark", "light")):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(90 * shade, 90 * shade + 160, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number}.png")


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.name)
def test_a_page_does_what_it_shows(
    page: Path, workshop: Path, programs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(workshop, folder)
    for name in _made_on(page):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)
    for block in blocks(page):
        if block.title:
            _write(block, folder)
        elif block.runs:
            _execute(block, folder, programs)


def _made_on(page: Path) -> set[str]:
    """What a page makes by itself is not there before: `nas ... --out NAME` that must succeed."""
    text = " ".join(item.text for item in blocks(page) if item.runs and not item.exit_code)
    words = text.split()
    return {name for option, name in zip(words, words[1:], strict=False) if option == "--out"}


def _write(block: Block, folder: Path) -> None:
    path = folder / block.title
    if block.title.startswith("nas/") and not (folder / "nas").exists():
        shutil.copytree(ROOT / "nas", folder / "nas")
    if block.language != "diff":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return
    lines, position = path.read_text().splitlines(), 0
    for line in block.text.splitlines():
        if line.startswith("+"):
            lines.insert(position, line[1:])
            position += 1
        else:
            position = lines.index(line[1:], position) + 1
    path.write_text("\n".join(lines) + "\n")


def _execute(block: Block, folder: Path, programs: Path) -> None:
    where = f"{block.page.relative_to(ROOT)}:{block.line}"
    if block.language == "python":
        script = folder / f"line_{block.line}.py"
        script.write_text(block.text)
        done = _run(f"python {script.name}", folder, programs, check=False)
    else:
        done = _run(block.text, folder, programs, check=False)
    assert done.returncode == block.exit_code, f"{where}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{where}\n{done.stderr}"
    if block.exit_code:
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, where


def _run(
    shell: str, folder: Path, programs: Path, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    places = [str(programs), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell],
        cwd=folder,
        env=os.environ | {"PATH": os.pathsep.join(places), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    if check:
        assert done.returncode == 0, f"{shell}\n{done.stdout}\n{done.stderr}"
    return done


def test_pages_that_must_be_executed_are() -> None:
    names = {page.name for page in EXECUTED}
    assert names >= {
        "first-search.md", "your-data.md", "your-backbone.md", "your-block.md", "your-phone.md",
        "query-and-explain.md", "report.md", "trusting-a-front.md", "exporting.md", "python.md",
        "questions-and-failures.md", "clusters.md", "README.md",
    }  # fmt: skip
