"""Names in any language, under locales that have no letters for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.samples import QUICK, SMALL_SPACE

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF_8 = {"LC_ALL": "C.UTF-8"}
FOLDER = "bilder äö 日"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("Äpfel", "日本"):
        folder = tmp_path / FOLDER / "train" / name
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"é{number}.png")
        (folder / "ü.txt").touch()
    (tmp_path / "space.yaml").write_text(SMALL_SPACE)
    return tmp_path / FOLDER


def nas(folder: Path, locale: dict[str, str], *words: str) -> str:
    """Run a command in a folder, all of whose outputs are named with letters of anywhere."""
    places = {"XDG_CACHE_HOME": str(folder / "çache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "nas", *words]
    environment = {**os.environ, **places, **locale}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode in (0, 2), said
    assert "Traceback" not in said
    return said


def test_what_a_terminal_cannot_show_is_written_as_numbers(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "Äpfel" / "é3.png").write_bytes(b"no image")
    said = nas(tmp_path, ASCII, "search", "space.yaml", "--data", f"folder:{FOLDER}")
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert r"\xe93.png cannot be read" in line
    (line,) = nas(tmp_path, UTF_8, "status", "é3").splitlines()
    assert line.startswith("error: é3 does not exist")


@pytest.mark.slow
def test_a_run_goes_on_from_one_locale_in_another(photos: Path, tmp_path: Path) -> None:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    data = f"folder:{FOLDER}"
    said = nas(
        tmp_path, ASCII, "search", "space.yaml", "--data", data, "--out", "läufe/日", *settings
    )
    assert "left out of" in said
    nas(tmp_path, UTF_8, "resume", "läufe/日", "--trials", "6")
    nas(tmp_path, ASCII, "export", "läufe/日", "0", "--to", "onnx", "--out", "läufe/é")
    nas(tmp_path, ASCII, "report", "läufe/日", "--out", "läufe/ü.html")
    nas(tmp_path, ASCII, "front", "läufe/日", "--json")
    made = sorted(path.name for path in (tmp_path / "läufe").iterdir())
    assert made == ["é", "ü.html", "日"]
    labels = (tmp_path / "läufe" / "é" / "labels.txt").read_text(encoding="utf-8")
    assert labels.split() == ["Äpfel", "日本"]
