from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from support.samples import ROOT, make_record

from nas.runs.run import open_run
from nas.spec.objective import objectives_named
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.front.plot import draw_front
from nas.study.front.verdict import judge
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

PLAIN = make_record(0, name="plain", reference="plain", loss=1.0)
SEARCHED = [
    make_record(
        2 * net + seed + 1,
        name=name,
        loss=0.9 - 0.1 * net + 0.01 * seed * (net + 1),
        latency_ms=2.0 + net,
        seed=seed,
        repeat=seed,
        loss_sem=0.02,
    )
    for net, name in enumerate("abc")
    for seed in (0, 1)
]
PLACED = [
    make_record(20 + number, name=f"r{number}", reference=f"block{number}", loss=0.95, latency_ms=3)
    for number in range(12)
]
STUDIES: dict[str, list[Record]] = {
    "normal": [PLAIN, *SEARCHED, PLACED[0]],
    "empty": [],
    "failed": [make_record(0, failure="diverged")],
    "one point": [make_record(0)],
    "plain alone": [PLAIN],
    "no plain": SEARCHED,
    "more references than markers": [PLAIN, *SEARCHED, *PLACED],
    "an awful candidate": [PLAIN, *SEARCHED, make_record(9, name="x", loss=1e6, latency_ms=9)],
    "a NaN": [PLAIN, *SEARCHED, make_record(9, name="x", loss=math.nan)],
}


@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.parametrize("study", STUDIES)
def test_draws_a_whole_picture_without_warnings(tmp_path: Path, study: str, suffix: str) -> None:
    front = Front.of(Trials.of(STUDIES[study]), objectives_named(["loss", "latency_ms"]))
    path = tmp_path / f"front.{suffix}"
    draw_front(front, path, title="small on digits")
    assert list(tmp_path.iterdir()) == [path]
    if suffix == "png":
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.rstrip().endswith(b"IEND\xaeB`\x82")
    else:
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("by", ["loss", "accuracy"])
def test_draws_what_is_believed(tmp_path: Path, by: str) -> None:
    trials = Trials.of(STUDIES["normal"])
    belief = NetworkBelief.of(trials, Budgets("start", (1.0,), 1.0, 1.0))
    front = Front.of(trials, objectives_named([by, "latency_ms"]), belief=belief)
    with rc_context({"svg.fonttype": "none"}):
        draw_front(front, tmp_path / "front.svg", title="small on digits")
    text = (tmp_path / "front.svg").read_text()
    assert "loss saved by full training" in text
    assert ("points gained by full training" in text) is bool(np.isfinite(front.points[1].gain))


def test_a_long_verdict_makes_a_taller_picture(tmp_path: Path) -> None:
    short = Front.of(Trials.of(STUDIES["normal"]), objectives_named(["loss", "latency_ms"]))
    long = open_run(ROOT / "results/mobilenetv2-cifar/cifar10/epyc-onnxruntime").front()
    heights = []
    for front in (short, long):
        draw_front(front, tmp_path / "front.png", title="small on digits")
        heights.append(int.from_bytes((tmp_path / "front.png").read_bytes()[20:24], "big"))
    verdicts = [judge(front) for front in (short, long)]
    lines = [len(verdict.answer) + len(verdict.essentials) for verdict in verdicts]
    assert heights[1] - heights[0] >= 20 * (lines[1] - lines[0]) > 0


def test_empty_filter_draws(tmp_path: Path) -> None:
    front = Front.of(Trials.of(STUDIES["normal"]), objectives_named(["loss", "latency_ms"]))
    draw_front(front.where(latency_ms=("<", 0)), tmp_path / "front.png", title="nothing")
    assert (tmp_path / "front.png").stat().st_size > 0


def test_title_is_shown_as_it_stands(tmp_path: Path) -> None:
    # The title holds the path of the data, and matplotlib reads text between dollars as TeX.
    front = Front.of(Trials.of(STUDIES["normal"]), objectives_named(["loss", "latency_ms"]))
    draw_front(front, tmp_path / "front.svg", title="small on /data/$x_$/images")
    assert (tmp_path / "front.svg").exists()
