"""Folders of images with boxes, laid out in any way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import Dataset, Reading, guess_annotated, load_data, open_test

READING = Reading("stretch", annotated="boxes")
BOX = [3, 2, 9, 6]


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 10)).save(path)


def voc(top: Path, names: str, kind: str = "cat") -> None:
    for name in names:
        photo(top / "images" / f"{name}.png")
        edges = zip(("xmin", "ymin", "xmax", "ymax"), (4, 3, 9, 6), strict=True)
        inner = "".join(f"<{key}>{value}</{key}>" for key, value in edges)
        (top / "annotations").mkdir(exist_ok=True)
        (top / "annotations" / f"{name}.xml").write_text(
            f"<annotation><object><name>{kind}</name><bndbox>{inner}</bndbox></object></annotation>"
        )


def yolo(top: Path, names: str, number: int = 0) -> None:
    for name in names:
        photo(top / "images" / f"{name}.png")
        (top / "labels").mkdir(exist_ok=True)
        (top / "labels" / f"{name}.txt").write_text(f"{number} .25 .4 .25 .4")


def coco(top: Path, names: str, kind: str = "cat") -> None:
    images, things = [], []
    for number, name in enumerate(names):
        photo(top / f"{name}.png")
        images.append({"id": number, "file_name": f"{name}.png", "width": 24, "height": 10})
        things.append({"image_id": number, "category_id": 7, "bbox": [3, 2, 6, 4]})
    given = {"images": images, "annotations": things, "categories": [{"id": 7, "name": kind}]}
    (top / "_annotations.coco.json").write_text(json.dumps(given))


def instances(top: Path, names: str, drawn: str = "instances", objects: int = 1) -> None:
    for name in names:
        photo(top / "images" / f"{name}.png")
        mask = np.zeros((10, 24), dtype=np.uint8)
        mask[2:6, 3:9] = 1
        if objects > 1:
            mask[2:6, 12:14] = 2
        (top / drawn).mkdir(exist_ok=True)
        Image.fromarray(mask).save(top / drawn / f"{name}.png")


LAYOUTS: dict[str, Callable[..., None]] = {
    "voc": voc,
    "yolo": yolo,
    "coco": coco,
    "instances": instances,
}


def load(root: Path, **options: Any) -> Dataset:
    options = {"validation": 0.5, "seed": 0, "resize": "stretch", **options}
    return load_data(f"folder:{root}", "10x24", annotated="boxes", **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_are_laid_out_in_any_way(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "data"
    LAYOUTS[layout](root / "train", "abc")
    if layout == "yolo":
        with pytest.raises(SpecError, match="nothing names the classes; needed: classes.txt"):
            load(root)
        (root / "classes.txt").write_text("cat\n")
    data = load(root)
    assert guess_annotated(f"folder:{root}") == "boxes"
    assert len(data.train) + len(data.validation) == 3
    assert data.classes == (("object",) if layout == "instances" else ("cat",))
    assert data.train.targets[0].tolist() == [[*BOX, 0, 0]]
    LAYOUTS[layout](root / "val", "de")
    LAYOUTS[layout](root / "test", "f")
    data = load(root)
    assert (len(data.train), len(data.validation)) == (3, 2)
    assert open_test(f"folder:{root}", 12, reading=READING).labels.tolist() == [0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_to_validate_and_test_on_lie_in_folders_of_any_layout(
    tmp_path: Path, layout: str
) -> None:
    """Classes go by their names, of labels by the numbers that training images give them."""
    root, held = tmp_path / "data", tmp_path / "held"
    voc(root / "train", "ab", "cat")
    voc(root / "train", "c", "object")
    LAYOUTS[layout](held, "xy")
    data = load(root, validation=str(held))
    assert (len(data.train), len(data.validation)) == (3, 2)
    expected = 1 if layout == "instances" else 0
    assert data.classes == ("cat", "object")
    assert data.validation.targets[0].tolist() == [[*BOX, expected, 0]]
    named = Reading("stretch", annotated="boxes", test=str(held))
    assert open_test(f"folder:{root}", 12, reading=named).labels.tolist() == [expected] * 2
    if layout in {"voc", "coco"}:
        LAYOUTS[layout](held, "xy", "bird")
        with pytest.raises(SpecError, match="class 'bird' is not among those of the data"):
            load(root, validation=str(held))


def test_lists_name_parts_of_masks_that_number_objects(tmp_path: Path) -> None:
    instances(tmp_path, "abcd", objects=2)
    (tmp_path / "classes.txt").write_text("background\nperson\n")
    (tmp_path / "val.txt").write_text("a\nb\n")
    (tmp_path / "test.txt").write_text("c\n")
    data = load(tmp_path)
    assert data.classes == ("person",)
    assert (len(data.train), len(data.validation)) == (1, 2)
    assert data.train.targets.tolist() == [[[*BOX, 0, 0], [12, 2, 14, 6, 0, 0]]]
    assert len(open_test(f"folder:{tmp_path}", 12, reading=READING)) == 1


def test_masks_number_objects_where_that_is_clear(tmp_path: Path) -> None:
    instances(tmp_path / "train", "abcd", "masks", objects=2)
    assert guess_annotated(f"folder:{tmp_path}") == "masks"
    notes: list[str] = []
    data = load(tmp_path, note=notes.append)
    assert data.train.targets.shape == (2, 2, 6) and data.classes == ("object",)
    assert notes == [f"masks of {tmp_path / 'train'} are read as numbering objects of one class"]
    instances(tmp_path / "train", "abcd", "masks")
    with pytest.raises(SpecError, match="hold one number beside 0: that may be a class; masks"):
        load(tmp_path)
    mask = np.zeros((10, 24), dtype=np.uint8)
    mask[2, 2], mask[3, 3] = 1, 7
    Image.fromarray(mask).save(tmp_path / "train" / "masks" / "c.png")
    with pytest.raises(SpecError, match="c.png holds numbers 1, 7, which number no objects from"):
        load(tmp_path)
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
    with pytest.raises(SpecError, match=r"masks are of classes \(ground, cat, dog\), in which"):
        load(tmp_path)


def test_what_fits_is_said(tmp_path: Path) -> None:
    (tmp_path / "classes" / "train" / "a").mkdir(parents=True)
    with pytest.raises(SpecError, match="have labels or identities, and no boxes; .*for boxes, ne"):
        load(tmp_path / "classes")
    voc(tmp_path / "data" / "train", "ab")
    with pytest.raises(SpecError, match="no masks; what fits: .*--task detection"):
        load_data(f"folder:{tmp_path / 'data'}", 12, validation=0.5, seed=0, annotated="masks")
    with pytest.raises(NoTestPart, match="it has no test part; needed: test/ laid out as train/"):
        open_test(f"folder:{tmp_path / 'data'}", 12, reading=READING)
    with pytest.raises(
        SpecError, match="validation .*: no folder with images/ and their boxes; al"
    ):
        load(tmp_path / "data", validation=str(tmp_path / "classes"))
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(SpecError, match="no such folder; needed: train/"):
        load(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match="it has no images with boxes; needed: train/"):
        load(tmp_path / "empty")
