"""Boxes as YOLO's trainers read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import Dataset, Reading, guess_annotated, load_data, open_test, resolve_source

READING = Reading("stretch", annotated="boxes")


def write(root: Path, part: str, **labels: str | None) -> None:
    """Images, 20x10, and their label files; None: without one."""
    for folder in ("images", "labels"):
        (root / folder / part).mkdir(parents=True, exist_ok=True)
    for name, text in labels.items():
        Image.new("RGB", (20, 10)).save(root / "images" / part / f"{name}.png")
        if text is not None:
            (root / "labels" / part / f"{name}.txt").write_text(text)


def load(file: Path, **options: Any) -> Dataset:
    options = {"validation": 0.5, "seed": 0, "resize": "stretch", **options}
    return load_data(f"yolo:{file}", "10x20", annotated="boxes", **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    root = tmp_path / "yolo"
    write(root, "train", a="1 .5 .5 .2 .4\n0 0 0 .5 .6", b="", c=None, d="0 .1 .1 .9 .1 .9 .6")
    write(root, "val", e="1 0.5 0.5 1 1\n")
    path = root / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n")
    return path


def test_boxes_and_outlines_are_read_and_images_without_any_stay(file: Path) -> None:
    data = load(file)
    assert guess_annotated(f"yolo:{file}") == "boxes"
    assert resolve_source("yolo:x/data.yaml") == f"yolo:{Path('x/data.yaml').resolve()}"
    assert data.classes == ("cat", "dog")
    held = data.train.targets
    assert held.shape == (4, 2, 6)
    assert held[0].tolist() == [[8, 3, 12, 7, 1, 0], [0, 0, 5, 3, 0, 0]], "clipped"
    assert held[3, 0].tolist() == pytest.approx([2, 1, 18, 6, 0, 0])
    assert held[:, :, 4].tolist() == [[1, 0], [-1, -1], [-1, -1], [0, -1]]
    assert data.validation.targets.tolist() == [[[0, 0, 20, 10, 1, 0]]]


@pytest.mark.parametrize(
    "text",
    [
        "path: ..\ntrain: [yolo/images/train]\nnames: {0: cat, 1: dog}",
        "path: ../nowhere\ntrain: images/train\nnames: [cat, dog]",
        "train: ../images/train\nnames: [cat, dog]",
        "train: train.txt\nnames: [cat, dog]",
        "train: images/train\nnc: 2",
    ],
)
def test_places_and_names_are_written_in_many_ways(file: Path, text: str) -> None:
    file.write_text(text)
    listed = "".join(f"./images/train/{name}.png\n" for name in "abcd")
    (file.parent / "train.txt").write_text(listed)
    data = load(file)
    assert len(data.train) + len(data.validation) == 4
    assert data.classes == (("0", "1") if "nc" in text else ("cat", "dog"))


def test_numbers_of_classes_are_kept_where_some_are_left_out(file: Path) -> None:
    assert load(file).categories == (((0, "cat"),), ((1, "dog"),))
    assert load(file, classes=(("hound", ("dog",)),)).categories == (((1, "dog"),),)


def test_lines_with_keypoints_begin_with_a_box(file: Path) -> None:
    write(file.parent, "train", a="1 .5 .5 .2 .4 .1 .1 2 .3 .3 2 .4 .4 1")
    with pytest.raises(SpecError, match=r"a.txt, line 1: 14 values; needed: class, middle x"):
        load(file)
    file.write_text(file.read_text() + "kpt_shape: [3, 3]\n")
    write(file.parent, "train", d="")
    assert load(file).train.targets[0, 0].tolist() == [8, 3, 12, 7, 1, 0]


def test_test_images_are_behind_their_own_name(file: Path) -> None:
    with pytest.raises(NoTestPart, match="brings no test part; needed: test: in the file"):
        open_test(f"yolo:{file}", 12, reading=READING)
    write(file.parent, "test", f="0 .5 .5 .5 .5")
    file.write_text(file.read_text() + "test: images/test\n")
    assert open_test(f"yolo:{file}", 12, reading=READING).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [cat, dog]", "data.yaml: it names no images to train on; needed: train: and val"),
        ("- 3", "data.yaml: it names no images and no classes"),
        ("", "data.yaml: it names no images and no classes"),
        (
            "train: images/train",
            "data.yaml: it has no names:; needed: a list, or numbers from 0 with names",
        ),
        ("train: images/train\nnames: {1: cat, 2: dog}", "needed: a list, or numbers from 0"),
        ("train: images/train\nnames: [cat, cat]", "class 'cat' is there twice; merge by classes"),
        ("train: images/train\nnc: 3\nnames: [cat, dog]", "nc: 3, and 2 names; mend one"),
        ("train: images/no\nnames: [cat]", "train: 'images/no': no such folder, nor a file that"),
        ("train: 3\nnames: [cat]", "train: 3 is no path"),
        ("train: labels/train\nnames: [cat]", "train: there is no image in 'labels/train'"),
        ("train: images/train\nnames: [cat]", r"a.txt, line 1: class number 1; allowed: 0 to 0"),
        ("train: images/train\nval: images/train\nnames: [cat, dog]", "among the training images"),
        ("train: [images/train\nnames: [cat]", "data.yaml: not plain YAML"),
    ],
)
def test_wrong_files_are_one_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(SpecError, match=said) as caught:
        load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 .5 .5", "a.txt, line 2: 3 values; needed: class, middle x, middle y, width, height"),
        ("0 300 200 50 50", "a.txt, line 2: a box beyond the image; its numbers are shares"),
        ("0 .5 .5 nan .5", "a.txt, line 2: a box beyond the image"),
        ("inf .5 .5 .5 .5", "a.txt, line 2: class number inf; allowed: 0 to 1"),
        ("-1 .5 .5 .5 .5", "a.txt, line 2: class number -1; allowed: 0 to 1"),
        ("cat .5 .5 .5 .5", "a.txt, line 2: 'cat .5 .5 .5 .5' are no numbers"),
    ],
)
def test_wrong_lines_are_named(file: Path, line: str, said: str) -> None:
    write(file.parent, "train", a=f"\n{line}\n")
    with pytest.raises(SpecError, match=said) as caught:
        load(file)
    assert "\n" not in str(caught.value)


def test_images_without_labels_and_two_of_one_name_are_said(file: Path) -> None:
    Image.new("RGB", (20, 10)).save(file.parent / "images" / "train" / "a.jpg")
    with pytest.raises(SpecError, match="a.png and .*a.jpg are called alike"):
        load(file)
    (file.parent / "images" / "train" / "a.jpg").unlink()
    for path in (file.parent / "labels" / "train").iterdir():
        path.unlink()
    with pytest.raises(SpecError, match=r"no image of .*images/train has a file of labels; needed"):
        load(file)
