"""Boxes of folders laid out as Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import Dataset, Reading, guess_annotated, load_data, open_test

READING = Reading("stretch", annotated="boxes")
PART = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"


def thing(name: str, *edges: object, difficult: int = 0) -> str:
    """xmin, ymin, xmax, ymax, counted from 1."""
    named = zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=False)
    inner = "".join(f"<{key}>{edge}</{key}>" for key, edge in named)
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox>{inner}</bndbox>{PART}</object>"
    )


def write(root: Path, name: str, *things: str, size: tuple[int, int] | None = (24, 10)) -> None:
    for folder in ("JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 10)).save(root / "JPEGImages" / f"{name}.png")
    said = (
        "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    )
    text = f"<annotation><filename>old.jpg</filename>{said}{''.join(things)}</annotation>"
    (root / "Annotations" / f"{name}.xml").write_text(text)


def lists(root: Path, **named: str) -> None:
    top = root / "ImageSets" / "Main"
    top.mkdir(parents=True, exist_ok=True)
    for part, names in named.items():
        (top / f"{part}.txt").write_text("\n".join(names))


def load(root: Path, **options: Any) -> Dataset:
    options = {"validation": 0.5, "seed": 0, "resize": "stretch", **options}
    return load_data(f"voc:{root}", "10x24", annotated="boxes", **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "voc"
    write(root, "a", thing("dog", 3, 2, 6, 6), thing("cat", 1, 1, 24, 10, difficult=1))
    write(root, "b")
    write(root, "c", thing("cat", 1, 1, 5, 5), size=None)
    write(root, "d", thing("cat", 1, 1, 24.0, 10), size=(0, 0))
    return root


def test_boxes_are_read_as_they_are_counted_from_one(root: Path) -> None:
    lists(root, train="ab", val="cd")
    data = load(root)
    assert guess_annotated(f"voc:{root}") == "boxes"
    assert data.classes == ("cat", "dog")
    assert data.train.targets.tolist() == [
        [[2, 1, 6, 6, 1, 0], [0, 0, 24, 10, 0, 1]], [[0, 0, 0, 0, -1, 0]] * 2
    ]  # fmt: skip
    assert data.validation.targets[:, 0].tolist() == [[0, 0, 5, 5, 0, 0], [0, 0, 24, 10, 0, 0]]
    assert data.train.labels.tolist() == [1, 2]


def test_all_are_for_training_without_lists(root: Path) -> None:
    assert sum(len(split) for split in (load(root).train, load(root).validation)) == 4
    (root / "SegmentationClass").mkdir()
    assert guess_annotated(f"voc:{root}") == "masks"
    (root / "groups.txt").write_text("a 1\nb 1\nc 1\nd 2\n")
    assert sorted(len(split) for split in (load(root).train, load(root).validation)) == [1, 3]


def test_names_of_classes_may_be_given(root: Path) -> None:
    (root / "classes.txt").write_text("dog\ncat\nbird\n")
    assert load(root).classes == ("dog", "cat", "bird")
    (root / "classes.txt").write_text("dog\nct\n")
    with pytest.raises(SpecError, match=r"a.xml: class 'cat' is not among .*: ct, dog; mend"):
        load(root)


def test_a_test_part_is_kept_apart(root: Path) -> None:
    lists(root, train="ab", test="cd")
    assert open_test(f"voc:{root}", 12, reading=READING).labels.tolist() == [0, 0]
    lists(root, train="ab", test="bc")
    with pytest.raises(SpecError, match="both name 'b'; an image is in one part alone"):
        open_test(f"voc:{root}", 12, reading=READING)
    (root / "ImageSets" / "Main" / "test.txt").unlink()
    with pytest.raises(NoTestPart, match=r"needed: ImageSets/Main/test.txt"):
        open_test(f"voc:{root}", 12, reading=READING)


def break_xml(root: Path) -> None:
    path = root / "Annotations" / "a.xml"
    path.write_text(path.read_text()[:90])


def name_entities(root: Path) -> None:
    (root / "Annotations" / "a.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><annotation/>')


def name_entities_in_utf_16(root: Path) -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'
    (root / "Annotations" / "a.xml").write_text(text, encoding="utf-16")


def remove_xml(root: Path) -> None:
    (root / "Annotations" / "a.xml").unlink()


def list_another(root: Path) -> None:
    lists(root, train="ax")


def list_no_train(root: Path) -> None:
    lists(root, val="ab")


def call_two_alike(root: Path) -> None:
    Image.new("RGB", (24, 10)).save(root / "JPEGImages" / "a.jpg")


def name_nothing(root: Path) -> None:
    write(root, "a", thing(" ", 1, 1, 2, 2))


def leave_an_edge_out(root: Path) -> None:
    write(root, "a", thing("dog", 1, 1, 2))


def write_no_number(root: Path) -> None:
    write(root, "a", thing("dog", 1, 1, 2, "x"))


def turn_around(root: Path) -> None:
    write(root, "a", thing("dog", 9, 1, 2, 3))


def change_size(root: Path) -> None:
    write(root, "a", thing("dog", 1, 1, 2, 3), size=(48, 20))


def empty(root: Path) -> None:
    for path in root.glob("*/*"):
        path.unlink()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (break_xml, r"annotations .*a.xml is no XML \(.*line 1, column .*\); mend it"),
        (name_entities, "a.xml: a document type is not read; take it out"),
        (name_entities_in_utf_16, "a.xml: a document type is not read; take it out"),
        (remove_xml, "image .*a.png has no boxes; needed: .*a.xml, which names no object where"),
        (list_another, "there is no image 'x' in .*JPEGImages, which a list names"),
        (list_no_train, r"it has no ImageSets/Main/train.txt; needed: JPEGImages, Annotations"),
        (call_two_alike, "a.png and .*a.jpg are called alike|a.jpg and .*a.png are called alike"),
        (name_nothing, "a.xml: an object has no name"),
        (leave_an_edge_out, "a.xml: object 'dog' has no whole box"),
        (write_no_number, "a.xml: object 'dog' has no whole box"),
        (turn_around, "a.xml: 8, 0, 2, 3 is no box"),
        (change_size, "a.xml are of an image of 48x20 and image .*a.png is 24x10"),
        (empty, "it holds no image"),
    ],
)
def test_wrong_folders_are_one_line(root: Path, wrong: Any, said: str) -> None:
    wrong(root)
    with pytest.raises(SpecError, match=said) as caught:
        load(root)
    assert "\n" not in str(caught.value)
