from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.simulated_run import simulated_run

from nas.base.errors import SpecError
from nas.report import write_figures
from nas.report.report_file import MARK


def test_each_figure_as_png_and_svg(tmp_path: Path) -> None:
    run = simulated_run(
        tmp_path / "run",
        search={"sampler": "pareto", "trials": 24},
        data="odd $name$ & <b>",
        measured=lambda ms: ms * 1.02,
    )
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "latency.png").write_text(f"an earlier one: {MARK}")
    written = write_figures(run, tmp_path / "figures")
    names = ("front", "progress", "promise", "latency")
    assert written == [
        tmp_path / "figures" / f"{name}.{suffix}" for name in names for suffix in ("png", "svg")
    ]
    for path in written:
        if path.suffix == ".svg":
            ElementTree.parse(path)
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_a_run_without_anything_has_no_figures(tmp_path: Path) -> None:
    assert write_figures(simulated_run(tmp_path / "run", stop_after=0), tmp_path / "out") == []


def test_a_figure_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "front.png").write_bytes(b"precious")
    run = simulated_run(tmp_path / "run", search={"trials": 6})
    with pytest.raises(SpecError, match="front.png exists and is no report"):
        write_figures(run, tmp_path)
    assert (tmp_path / "front.png").read_bytes() == b"precious"
