"""`nas report` as its users meet it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("run")


def test_report_writes_a_page_and_figures(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = {path.name for path in finished_run.iterdir()}
    ran = nas("report", finished_run, "--out", tmp_path / "a.html", "--figures", tmp_path / "f")
    assert ran.code == 0, ran.err
    page = (tmp_path / "a.html").read_text()
    assert "<h1>small " in page and "se/r24" in page and "<img " in page
    written = [line.removeprefix("Written: ") for line in ran.out.splitlines()]
    assert written[0] == str(tmp_path / "a.html")
    assert {Path(item).name for item in written} >= {"front.png", "front.svg", "progress.svg"}
    assert all(Path(item).stat().st_size for item in written)
    assert {path.name for path in finished_run.iterdir()} == before, "reading changes nothing"


def test_report_of_a_run_goes_into_its_folder(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(finished_run, tmp_path / "run")
    for _ in range(2):
        assert nas("report", tmp_path / "run").out == f"Written: {tmp_path}/run/front.html\n"
    ran = nas("report", tmp_path / "run", "--no-images")
    assert ran.out == f"Written: {tmp_path}/run/front.html\n"
    assert "<img " not in (tmp_path / "run" / "front.html").read_text()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    said = nas("report", tmp_path / "run").out.splitlines()
    assert said[1].startswith("It shows no images: trial 0: ") and len(said) == 2, said
    (tmp_path / "run" / "study.journal").unlink()
    ran = nas("report", tmp_path / "run")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
