"""Pascal VOC as it is unpacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nas.base.errors import NoTestPart, SpecError
from nas.data import Dataset, Reading, guess_annotated, load_data, open_test
from nas.data.voc import VOC_CLASSES

READING = Reading(annotated="masks")


def load(root: Path) -> Dataset:
    return load_data(f"voc:{root}", 16, validation=0.5, seed=0, annotated="masks")


@pytest.fixture
def devkit(tmp_path: Path, draw_pairs: Callable[..., None]) -> Path:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    drawn = {"2007_a": [0, 15], "2007_b": [0, 255, 3], "2007_c": [0, 20], "2007_d": [0, 1]}
    draw_pairs(root / "JPEGImages", root / "SegmentationClass", drawn, suffix="jpg")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_a\n2007_b\n")
    (lists / "val.txt").write_text("2007_c\n")
    (root / "SegmentationClass" / "2007_d.png").rename(tmp_path / "d.png")
    (root / "JPEGImages" / "unused.jpg").write_bytes(b"never read")
    return root


def test_the_21_classes_are_known_by_name(devkit: Path) -> None:
    for root in (devkit, devkit.parent, devkit.parent.parent):
        data = load(root)
        assert data.classes == VOC_CLASSES and len(VOC_CLASSES) == 21
        assert data.train.labels.tolist() == [15, 3]
        assert data.validation.labels.tolist() == [20]
    assert guess_annotated(f"voc:{devkit}") == "masks"


def test_the_test_part_needs_its_list_and_masks(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(NoTestPart, match="needed: ImageSets/Segmentation/test.txt, and masks"):
        open_test(f"voc:{devkit}", 16, reading=READING)
    (devkit / "ImageSets" / "Segmentation" / "test.txt").write_text("2007_d\n")
    with pytest.raises(SpecError, match="2007_d.jpg has no mask"):
        open_test(f"voc:{devkit}", 16, reading=READING)
    (tmp_path / "d.png").rename(devkit / "SegmentationClass" / "2007_d.png")
    assert len(open_test(f"voc:{devkit}", 16, reading=READING)) == 1


def test_other_classes_are_named_beside(devkit: Path) -> None:
    names = "\n".join(f"c{number}" for number in range(21))
    (devkit / "classes.txt").write_text(names)
    assert load(devkit).classes[15] == "c15"


def test_wrong_folders_are_one_line(devkit: Path, tmp_path: Path) -> None:
    (devkit.parent / "VOC2007" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(SpecError, match="it holds VOC2007, VOC2012; name one"):
        load(devkit.parent)
    with pytest.raises(SpecError, match="no such folder; needed: JPEGImages, SegmentationClass"):
        load(tmp_path / "nowhere")
    (devkit / "ImageSets" / "Segmentation" / "train.txt").unlink()
    with pytest.raises(SpecError, match="it has no ImageSets/Segmentation/train.txt"):
        load(devkit)
    with pytest.raises(
        SpecError, match="have masks or boxes, and no labels; what fits: --task segm"
    ):
        load_data(f"voc:{devkit}", 16, validation=0.5, seed=0)
