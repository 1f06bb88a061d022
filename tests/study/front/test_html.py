"""What a notebook shows of fronts, points and networks."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from support.samples import make_record

from nas.spec.architecture import Architecture, Insertion
from nas.spec.objective import objectives_named
from nas.spec.task import Figure
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.front.verdict import judge
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

PLAIN = make_record(0, name="plain", reference="plain", loss=1.0, latency_ms=1.0)
HOSTILE = "<script>alert('\"&')</script>"
STUDY = [
    PLAIN,
    make_record(1, name="se", reference=HOSTILE, loss=0.9, latency_ms=5.0),
    make_record(2, name="a", loss=0.8, latency_ms=2.0),
]


def front_of(records: list[Record], **parts: object) -> Front:
    front = Front.of(Trials.of(records), objectives_named(["loss", "latency_ms"]))
    return replace(front, **parts)  # type: ignore[arg-type]


def cells(html: str) -> list[list[str]]:
    """The texts of a table's cells, row by row; what is no well-formed HTML fails."""
    root = ElementTree.fromstring(f"<div>{html}</div>")
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def test_a_front_has_a_length_and_an_index() -> None:
    front = front_of(STUDY)
    assert len(front) == 3
    assert [front[number].trial for number in range(3)] == [0, 2, 1]
    assert front[-1] is front.points[2] and front[:2] == front.points[:2]
    with pytest.raises(IndexError):
        _ = front[3]


def test_a_front_is_one_short_line() -> None:
    assert repr(front_of(STUDY)) == (
        "<Front of validation loss and latency (ms): 1 searched and 2 hand-placed networks, 1.000 "
        "to 5.000 ms>"
    )
    assert repr(front_of([])).endswith("0 searched and 0 hand-placed networks>")


def test_a_table_begins_with_the_answer_and_escapes_names() -> None:
    trials = Trials.of([*STUDY, make_record(3, name="a", loss=0.82, latency_ms=2.0, repeat=1)])
    belief = NetworkBelief.of(trials, Budgets("start", (1.0,), 1.0, 1.0))
    front = Front.of(trials, objectives_named(["loss", "latency_ms"]), belief=belief)
    html = front._repr_html_()
    assert judge(front).answer and html.startswith("<p>")
    assert "<script" not in html
    heads, *rows = cells(html)
    assert heads[:4] == ["network", "blocks", "on the front", "latency, ms"]
    assert [row[0] for row in rows] == ["plain backbone", "trial 2", f"{HOSTILE}, hand-placed"]
    gain = heads.index("better") - 1
    assert heads[gain].startswith("gain by full training")
    assert [row[gain] for row in rows] == [str(point.believed) for point in front]


def test_figures_have_the_names_of_their_task() -> None:
    heads = cells(front_of(STUDY, figure=Figure("miou", "mIoU"))._repr_html_())[0]
    assert "mIoU, %" in heads and "accuracy, %" not in heads


def test_an_empty_front_and_a_long_one() -> None:
    assert "<table" not in front_of([])._repr_html_()
    many = [make_record(n, name=f"n{n}", loss=9 - n / 20, latency_ms=1 + n) for n in range(70)]
    html = front_of(many)._repr_html_()
    assert len(cells(html)) == 61 and "10 more are left out; nas report shows all." in html


def test_a_point_shows_its_figures_and_its_blocks() -> None:
    point = front_of(STUDY)[1]
    shown = dict(row for row in cells(point._repr_html_()) if len(row) == 2)
    assert shown["latency, ms"] == "2.000" and shown["loss saved"] == "+0.2000"
    assert {insertion.site for insertion in point.architecture.insertions} <= set(shown)


def test_a_network_is_a_table_of_its_sites() -> None:
    placed = Architecture("net", 32, (Insertion.of("blocks.1/se", "coord/r32"),))
    assert cells(placed._repr_html_()) == [["site", "block"], ["blocks.1/se", "coord/r32"]]
    assert cells(Architecture("<net>")._repr_html_())[1] == ["all", "as it comes"]


def test_a_picture_shows_itself_without_pyplot() -> None:
    figure = front_of([PLAIN, *STUDY[2:], make_record(7, name="x", loss=math.nan)]).plot("A title")
    assert len(figure.axes) == 2
    assert figure._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]
