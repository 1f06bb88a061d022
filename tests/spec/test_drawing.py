from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nas.spec.architecture import Architecture, Insertion

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Known:
    name: str
    stage: str
    channels: int = 24
    height: int = 14
    width: int = 10
    filled: bool = False


SITES = [
    Known("blocks.0.0/after_depthwise", "blocks.0", 16),
    *(Known(f"blocks.1.{number}/after_depthwise", "blocks.1") for number in range(7)),
    Known("blocks.2.0/after_depthwise", "blocks.2", 40, filled=True),
]


def placed(**labels: str) -> Architecture:
    sites = {name.replace("_", "."): label for name, label in labels.items()}
    return Architecture(
        "net",
        "224x160",
        tuple(Insertion.of(f"{host}/after_depthwise", label) for host, label in sites.items()),
    )


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_blocks_stand_at_their_sites_beside_the_maps_of_their_stage() -> None:
    drawing = placed(blocks_1_5="coord/r32", blocks_2_0="none").draw(SITES)
    root = ElementTree.fromstring(drawing.svg)
    assert root.get("aria-label") == drawing.alternative and root.get("role") == "img"
    assert drawing.alternative == (
        "net at 224x160 pixels, from the image to the head: blocks.1.5/after_depthwise coord/r32, "
        "blocks.2.0/after_depthwise emptied"
    )
    said = texts(drawing.svg)
    assert [text for text in said if "ch" in text] == [
        "14×10 · 16 ch", "14×10 · 24 ch", "14×10 · 40 ch"
    ]  # fmt: skip
    assert said.count("coord") == said.count("r32") == said.count("none") == 1
    titles = [one.text for one in root.iter(f"{SVG}title")]
    assert len(titles) == len(SITES) and titles[0] == f"{SITES[0].name}: no block"
    # A stage of more sites than fit goes on below; nothing sticks out.
    boxes = [(float(box.get("x")), float(box.get("width"))) for box in root.iter(f"{SVG}rect")]  # type: ignore[arg-type]
    assert max(left + width for left, width in boxes) <= 384
    assert len({box.get("y") for box in root.iter(f"{SVG}rect")}) == 4
    assert "kept" in texts(placed().draw(SITES).svg)


def test_without_its_backbone_the_blocks_alone_are_drawn() -> None:
    network = placed(blocks_10_0="eca", blocks_2_0="se/r24")
    said = texts(network.draw().svg)
    assert [text for text in said if text in ("se", "eca")] == ["se", "eca"], "in order"
    assert network.draw(SITES[:1]).svg == network.draw().svg, "sites of another one"
    assert "<svg" in network._repr_html_() and "<table" in network._repr_html_()
    assert "<svg" not in placed()._repr_html_()
    assert "as it comes" in texts(placed().draw().svg)[1]


def test_letters_fit_their_room_and_names_do_nothing() -> None:
    hostile = '<script>alert(1)<script>"\x00&amp;'
    network = Architecture(hostile, 32, (Insertion(f"{hostile}/x", hostile),))
    svg = network.draw().svg
    assert "<script" not in svg and ElementTree.fromstring(svg) is not None
    sizes = [
        float(one.get("font-size") or 0) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")
    ]
    assert min(sizes) < 5


def test_a_saved_picture_stands_alone(tmp_path: Path) -> None:
    placed(blocks_1_0="eca").draw(SITES).save(tmp_path / "net.svg", "mark of it")
    written = (tmp_path / "net.svg").read_text()
    assert written.index("mark of it") < 500 and "prefers-color-scheme:dark" in written
    ElementTree.fromstring(written)
    with pytest.raises(Exception, match="nowhere"):
        placed().draw().save(tmp_path / "nowhere" / "net.svg")


def test_stages_that_have_no_name_but_a_size_are_called_by_their_modules() -> None:
    sites = [Known(f"blocks.{number}/after_depthwise", "14x10") for number in (4, 5)]
    assert "blocks.4 … 5" in texts(placed().draw(sites).svg)
    assert "blocks.4" in texts(placed().draw(sites[:1]).svg)
