"""A folder of images and a file of annotations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import Dataset, Reading, guess_annotated, load_data, open_test, resolve_source
from nas.data import coco_file as module

Json = dict[str, Any]

CATEGORIES = [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]


def square(left: int, top: int, side: int) -> list[list[int]]:
    right, bottom = left + side, top + side
    return [[left, top, right, top, right, bottom, left, bottom]]


def thing(image: int, category: int, segmentation: Any, crowd: int = 0) -> Json:
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": crowd,
    }


def sized(number: int, name: str, height: float = 10) -> Json:
    return {"id": number, "file_name": name, "width": 12, "height": height}


def write(root: Path, name: str, count: int, things: list[Json], **changed: Any) -> str:
    """Write so many images, 12x10, and their annotations; return what names them."""
    folder = root / name
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (12, 10), (number, 0, 0)).save(folder / f"{number}.png")
    images = [
        {"id": 100 + number, "file_name": f"{number}.png", "width": 12, "height": 10}
        for number in range(count)
    ]
    given = {"images": images, "categories": CATEGORIES, "annotations": things} | changed
    (root / f"{name}.json").write_text(json.dumps(given))
    return f"{folder},{root / name}.json"


def load(source: str, **options: Any) -> Dataset:
    options = {"validation": 0.5, "seed": 0, "resize": "stretch", **options}
    return load_data(source, "10x12", annotated="masks", **options)


def test_things_are_drawn_and_what_two_claim_does_not_count(tmp_path: Path) -> None:
    run_lengths = {"size": [10, 12], "counts": [0, 20, 100]}  # the first two columns
    source = "coco:" + write(
        tmp_path,
        "all",
        2,
        [
            thing(100, 3, square(2, 2, 4)),
            thing(100, 90, square(4, 4, 4)),
            thing(100, 18, run_lengths, crowd=1),
            thing(101, 18, square(0, 0, 3)),
        ],
    )
    data = load(source)
    assert guess_annotated(source) == "masks"
    assert data.classes == ("background", "car", "dog", "brush"), "by number, without gaps"
    by_image = {
        int(image[0, 0, 0]): mask
        for split in (data.train, data.validation)
        for image, mask in zip(split.images, split.targets, strict=True)
    }
    wanted = np.zeros((10, 12), dtype=np.uint8)
    wanted[:, :2] = 255
    wanted[2:6, 2:6] = 1
    wanted[4:8, 4:8] = 3
    wanted[4:6, 4:6] = 255
    assert by_image[0].numpy().tolist() == wanted.tolist()
    assert by_image[1].unique().tolist() == [0, 2]


def test_more_pairs_are_for_validation_and_test(tmp_path: Path) -> None:
    train = write(tmp_path, "train", 3, [thing(100, 3, square(1, 1, 5))])
    held = write(tmp_path, "held", 2, [thing(101, 18, square(1, 1, 5))])
    test = write(tmp_path, "test", 1, [thing(100, 90, square(1, 1, 5))])
    data = load(f"coco:{train},{held}")
    assert (len(data.train), data.validation.labels.tolist()) == (3, [0, 2])
    reading = Reading(annotated="masks")
    for source in (f"coco:{train},{held},{test}", f"coco:{train},,,{test}"):
        assert open_test(source, 16, reading=reading).labels.tolist() == [3]
    with pytest.raises(NoTestPart, match="a third pair is one"):
        open_test(f"coco:{train}", 16, reading=reading)
    merged = load(f"coco:{train},{held}", classes=(("animal", ("dog",)), ("rest", ("*",))))
    assert merged.validation.labels.tolist() == [1, 0]


def test_both_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_source("coco:a,b.json,,,c,d.json") == (
        f"coco:{tmp_path}/a,{tmp_path}/b.json,,,{tmp_path}/c,{tmp_path}/d.json"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": []}, "it names no image|an annotation of image 100"),
        ({"annotations": [{"image_id": 100, "category_id": 3}]}, "without 'segmentation'"),
        ({"annotations": [thing(100, 4, square(0, 0, 2))]}, "category 4 is not among those"),
        ({"annotations": [thing(9, 3, square(0, 0, 2))]}, "annotation of image 9, which is not"),
        ({"annotations": [thing(100, 3, [[1, 2]])]}, "mask of 0.png in .* cannot be read"),
        ({"annotations": 3}, "is no file of COCO"),
        ({"images": [{"id": 100}], "annotations": []}, "without 'file_name'"),
        ({"categories": [{"id": "x", "name": "y"}]}, "is no file of COCO"),
        ({"images": [sized(100, "0.png", height=1e999)]}, "is no file of COCO"),
        ({"images": [sized(100, "0.png"), sized(100, "1.png")]}, "two images have one id"),
        (
            {"categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]},
            "categories 'cat' and 'dog' have one id, 3",
        ),
        ({"images": [sized(100, "0.png"), sized(101, "0.png")]}, "2 images are called '0.png'"),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, changed: Json, said: str) -> None:
    source = "coco:" + write(tmp_path, "x", 2, [thing(100, 3, square(0, 0, 2))], **changed)
    with pytest.raises(SpecError, match=said) as caught:
        load(source)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_no_file_of_coco_is_not_told_in_words_of_python(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(SpecError, match="needed: keys with lists, images, annotations, categor"):
        load(f"coco:{tmp_path}/a,{tmp_path}/a.json")


def test_images_of_another_size_and_missing_ones_are_named(tmp_path: Path) -> None:
    source = "coco:" + write(tmp_path, "x", 2, [thing(100, 3, square(0, 0, 2))])
    Image.new("RGB", (12, 11)).save(tmp_path / "x" / "1.png")
    with pytest.raises(SpecError, match="mask of 1.png in .*x.json is 12x10 and image .* 12x11"):
        load(source)
    (tmp_path / "x" / "1.png").unlink()
    with pytest.raises(SpecError, match="image .*x/1.png is not there, which .*x.json names"):
        load(source)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("x", "allowed: coco:IMAGES,FILE.json, then another pair"),
        ("x,y,z", "allowed: coco:IMAGES,FILE.json"),
        ("/nowhere,y.json", "images /nowhere: no such folder"),
        (".,y.json", "annotations y.json: no such file"),
    ],
)
def test_wrong_arguments_are_one_line(argument: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load(f"coco:{argument}")


def test_a_file_larger_than_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "coco:" + write(tmp_path, "x", 2, [])
    monkeypatch.setattr(module, "available_memory", lambda: 100)
    with pytest.raises(
        SpecError, match="keep the annotations of fewer images in it, or draw masks"
    ):
        load(source)


@pytest.fixture
def little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as a file x.json is read in piece by piece, and not at once."""
    monkeypatch.setattr(
        module, "available_memory", lambda: 5 * (tmp_path / "x.json").stat().st_size
    )


@pytest.mark.usefixtures("little_memory")
def test_a_file_that_memory_would_not_hold_is_read_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ijson")
    crowd = {"size": [10, 12], "counts": [0, 20, 100]}
    things = [thing(100, 18, crowd, crowd=1), thing(101, 3, [[0.5, 0.5, 4.25, 1, 3, 6]])]
    pair = write(tmp_path, "x", 2, [*things, thing(100, 90, square(4, 4, 4))])
    pieces = load(f"coco:{pair}")
    monkeypatch.undo()
    whole = load(f"coco:{pair}")
    assert pieces.classes == whole.classes
    for one, other in ((pieces.train, whole.train), (pieces.validation, whole.validation)):
        assert torch.equal(one.targets, other.targets)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"annotations": []}, "an entry without 'annotations'"),
        ({"annotations": [thing(100, 3, [["a", "b"]])]}, "mask of 0.png in .* cannot be read"),
        ({"annotations": [thing(9, 3, square(0, 0, 2))]}, "annotation of image 9, which is not"),
        ({"images": [3]}, "is no file of COCO"),
    ],
)
def test_wrong_files_are_one_line_piece_by_piece_too(
    tmp_path: Path, changed: Json, said: str
) -> None:
    pytest.importorskip("ijson")
    pair = write(tmp_path, "x", 2, [thing(100, 3, square(0, 0, 2))], **changed)
    with pytest.raises(SpecError, match=said):
        load(f"coco:{pair}")


@pytest.mark.usefixtures("little_memory")
def test_a_file_that_was_cut_off_is_said_piece_by_piece_too(tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    pair = write(tmp_path, "x", 2, [thing(100, 3, square(0, 0, 2))] * 9)
    text = (tmp_path / "x.json").read_bytes()
    (tmp_path / "x.json").write_bytes(text[:-100])
    with pytest.raises(SpecError, match="x.json is no JSON"):
        load(f"coco:{pair}")


@pytest.mark.usefixtures("little_memory")
def test_the_package_that_reads_pieces_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = write(tmp_path, "x", 2, [thing(100, 3, square(0, 0, 2))])
    monkeypatch.setitem(sys.modules, "ijson", None)
    with pytest.raises(SpecError, match=r"the package ijson, .*\[segmentation\]"):
        load(f"coco:{pair}")


def test_what_is_no_json_is_said(tmp_path: Path) -> None:
    source = "coco:" + write(tmp_path, "x", 2, [])
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(SpecError, match="x.json is no JSON"):
        load(source)
