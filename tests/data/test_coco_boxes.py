"""Boxes of a folder of images and a file of annotations."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nas.base.errors import NoTestPart, SpecError
from nas.base.size import Size
from nas.data import (
    Dataset,
    Reading,
    boxes_back,
    cached_data,
    guess_annotated,
    load_data,
    open_data,
    open_test,
    original_boxes,
)
from nas.study.detection_marks import detection_figures, detection_marks, stack_marks

Json = dict[str, Any]

READING = Reading("stretch", annotated="boxes")
CATEGORIES = [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]
SIZE = (24, 10)


def box(image: int, category: int, *edges: Any, **more: Any) -> Json:
    """x, y, width, height."""
    return {"image_id": image, "category_id": category, "bbox": list(edges), **more}


def write(
    root: Path, name: str, count: int, things: list[Json], size: tuple[int, int] = SIZE,
    **changed: Any,
) -> str:  # fmt: skip
    """Write so many images, 24x10, and their annotations; return what names them."""
    folder = root / name
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", size, (number, 0, 0)).save(folder / f"{number}.png")
    images = [
        {"id": 100 + number, "file_name": f"{number}.png", "width": size[0], "height": size[1]}
        for number in range(count)
    ]
    given = {"images": images, "categories": CATEGORIES, "annotations": things} | changed
    (root / f"{name}.json").write_text(json.dumps(given))
    return f"{folder},{root / name}.json"


def load(source: str, **options: Any) -> Dataset:
    options = {"validation": 0.5, "seed": 0, "resize": "stretch", **options}
    return load_data(source, options.pop("size", "10x24"), annotated="boxes", **options)


def by_image(data: Dataset) -> dict[int, list[list[float]]]:
    return {
        int(image[8, 8, 0]): [held.tolist() for held in boxes if held[4] >= 0]
        for split in (data.train, data.validation)
        for image, boxes in zip(split.images, split.targets, strict=True)
    }


def test_boxes_are_clipped_and_images_without_any_stay(tmp_path: Path) -> None:
    source = "coco:" + write(
        tmp_path,
        "all",
        3,
        [
            box(100, 3, 2, 1, 4, 5),
            box(100, 90, -2, 0, 6, 20, iscrowd=1),
            box(101, 18, 0, 0, 24, 10),
        ],
    )
    assert guess_annotated(source) == "boxes"
    data = load(source)
    assert data.classes == ("car", "dog", "brush"), "by number, without gaps"
    assert by_image(data) == {
        0: [[2, 1, 6, 6, 0, 0], [0, 0, 4, 10, 2, 1]],
        1: [[0, 0, 24, 10, 1, 0]],
        2: [],
    }
    assert data.train.annotations is not None and data.train.annotations.shape[1:] == (2, 6)
    assert sorted([*data.train.labels.tolist(), *data.validation.labels.tolist()]) == [0, 1, 3]


def test_boxes_of_another_format_are_doubted(tmp_path: Path) -> None:
    """Right and lower edge for width and height: boxes were cut at the edge in silence."""
    said: list[str] = []
    for name, edges in (("right", (14, 2, 6, 5)), ("wrong", (14, 2, 20, 7))):
        things = [box(100 + number, 3, *edges) for number in range(4)]
        load("coco:" + write(tmp_path, name, 4, things), note=said.append)
    assert len(said) == 1, "of the second alone"
    assert said[0].startswith("4 of 4 boxes reach far beyond their image, the first in boxes of ")
    assert said[0].endswith("COCO has left, upper, width, height")


@pytest.mark.parametrize(
    ("resize", "expected"),
    [("stretch", [1, 6, 3, 10]), ("pad", [1, 6.875, 3, 8.125]), ("crop", [0, 6, 2.4, 16])],
)
def test_boxes_move_as_their_image_does(tmp_path: Path, resize: Any, expected: list[float]) -> None:
    """24x10 to 12x16; of a crop the middle 7.5 of 24 columns are seen, from 8.25 on."""
    edges = (7, 3.75, 2.75, 7) if resize == "crop" else (2, 3.75, 4, 2.5)
    source = "coco:" + write(tmp_path, "x", 2, [box(100, 3, *edges), box(101, 3, *edges)])
    data = load(source, resize=resize, size="16x12")
    assert by_image(data)[0][0][:4] == pytest.approx(expected, abs=1e-5)


def test_an_object_that_a_crop_cuts_off_is_left_out(tmp_path: Path) -> None:
    source = "coco:" + write(
        tmp_path, "x", 2, [box(100, 3, 0, 0, 7.5, 10), box(100, 3, 10, 1, 2, 2)]
    )
    source = f"{source},{write(tmp_path, 'y', 1, [box(100, 3, 9, 1, 2, 2)])}"
    data = load(source, resize="crop", size=16)
    assert data.train.targets[0, :, 4].tolist() == [0, -1]


def test_decoded_images_are_kept_with_their_boxes(tmp_path: Path) -> None:
    source = "coco:" + write(tmp_path, "x", 4, [box(100, 3, 2, 1, 4, 5), box(102, 18, 0, 0, 9, 9)])
    folder = cached_data(source, "10x24", validation=0.5, seed=0, reading=READING)
    kept = open_data(folder)
    assert kept.annotated == "boxes" and by_image(kept) == by_image(load(source))
    path = tmp_path / "x.json"
    path.write_text(path.read_text().replace("[2, 1, 4, 5]", "[2, 1, 4, 6]"))
    assert cached_data(source, "10x24", validation=0.5, seed=0, reading=READING) != folder


def test_numbers_of_categories_are_kept_with_their_gaps(tmp_path: Path) -> None:
    """Classes that are merged have several; one that is left out has none."""
    source = "coco:" + write(tmp_path, "x", 4, [box(100 + n, 3, 2, 1, 4, 5) for n in range(4)])
    assert load(source).categories == (((3, "car"),), ((18, "dog"),), ((90, "brush"),))
    folder = cached_data(source, "10x24", validation=0.5, seed=0, reading=READING)
    assert open_data(folder).categories == load(source).categories
    merging = (("thing", ("brush", "car")),)
    assert load(source, classes=merging).categories == (((3, "car"), (90, "brush")),)
    about = folder / "data.json"
    earlier = json.loads(about.read_text())
    del earlier["categories"]  # as an earlier version has written it
    about.write_text(json.dumps(earlier))
    assert open_data(folder).categories == ()
    twice = [{"id": 7, "name": "dog"}, {"id": 5, "name": "dog"}]
    things = [box(100 + n, 7, 1, 1, 3, 3) for n in range(2)]
    other = "coco:" + write(tmp_path, "y", 2, things, categories=twice)
    assert load(other).categories == (((5, "dog"),),), "of two of one name the least"


def test_more_pairs_are_for_validation_and_test(tmp_path: Path) -> None:
    """Categories go by their names, whatever numbers a file gives them."""
    train = write(tmp_path, "train", 3, [box(100, 3, 1, 1, 5, 5)])
    other = [{"id": 1, "name": "dog"}, {"id": 3, "name": "brush"}]
    held = write(tmp_path, "held", 2, [box(101, 1, 1, 1, 5, 5)], categories=other)
    test = write(tmp_path, "test", 1, [box(100, 90, 1, 1, 5, 5)])
    data = load(f"coco:{train},{held}")
    assert (len(data.train), data.validation.labels.tolist()) == (3, [3, 1])
    for source in (f"coco:{train},{held},{test}", f"coco:{train},,,{test}"):
        assert open_test(source, 16, reading=READING).labels.tolist() == [2]
    with pytest.raises(NoTestPart, match="a third pair is one"):
        open_test(f"coco:{train}", 16, reading=READING)
    with pytest.raises(SpecError, match="image .*0.png is among the training images, too"):
        load(f"coco:{train},{train}")
    merged = load(f"coco:{train},{held}", classes=(("animal", ("dog",)), ("rest", ("*",))))
    assert merged.validation.labels.tolist() == [2, 0]


def test_groups_are_not_cut_apart(tmp_path: Path) -> None:
    source = "coco:" + write(tmp_path, "x", 8, [box(100 + n, 3, 1, 1, 5, 5) for n in range(8)])
    (tmp_path / "groups.csv").write_text("".join(f"{n}.png,{n % 2}\n" for n in range(8)))
    parts = [{int(image[0, 0, 0]) % 2 for image in split.images}
             for split in (load(source).train, load(source).validation)]  # fmt: skip
    assert sorted(parts, key=min) == [{0}, {1}]


def test_boxes_are_turned_with_a_stored_image_and_not_with_an_upright_one(tmp_path: Path) -> None:
    """Every way in which EXIF may turn an image: a bright box stays a bright box."""
    bright = [3.0, 2, 9, 6]
    for orientation in range(1, 9):
        for upright in (False, True):
            root = tmp_path / f"{orientation}{upright}"
            held = write(root, "held", 1, [box(100, 3, 0, 0, 1, 1)])
            source = f"coco:{write(root, 'x', 1, [box(100, 3, 3, 2, 6, 4)])},{held}"
            pixels = np.zeros((10, 24, 3), dtype=np.uint8)
            if upright and orientation < 5:
                continue
            pixels[2:6, 3:9] = 250
            shown = Image.fromarray(pixels)
            if upright:  # the file says the size of the image as it is shown
                turns = {5: 5, 6: 2, 7: 6, 8: 4}
                shown = shown.transpose(Image.Transpose(turns[orientation]))
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            shown.save(root / "x" / "0.png", exif=exif)
            size = "10x24" if upright or orientation < 5 else "24x10"
            data = load(source, size=size)
            rows, columns = np.nonzero(data.train.images[0, ..., 0].numpy() > 100)
            seen = [int(columns.min()), int(rows.min())]
            seen += [int(columns.max()) + 1, int(rows.max()) + 1]
            assert data.train.targets[0, 0, :4].tolist() == seen, orientation
            assert not upright or seen == bright


def test_figures_at_original_size_are_those_of_pycocotools_from_the_file(tmp_path: Path) -> None:
    """Not square, with a crowd, areas of their own, boxes beyond the edge, and an empty image."""
    rng = np.random.default_rng(0)
    things = []
    for image in range(9):
        for _ in range(int(rng.integers(1, 6))):
            edges = (rng.random(4) * [150, 100, 90, 70]).round(2) + [-5, -5, 2, 2]
            x, y, width, height = edges.tolist()
            area = width * height * rng.uniform(0.4, 1)
            things.append(box(100 + image, int(rng.choice([3, 18, 90])), x, y, width, height,
                              area=area, iscrowd=int(rng.random() < 0.2)))  # fmt: skip
    for number, thing in enumerate(things, 1):
        thing["id"] = number
    pair = write(tmp_path, "test", 10, things, size=(200, 120))
    source = f"coco:{write(tmp_path, 'train', 2, [])},,,{pair}"
    reading = Reading("pad", annotated="boxes")
    split = open_test(source, 64, reading=reading)
    truths = original_boxes(source, "test", reading=reading)
    categories = (3, 18, 90)  # of car, dog and brush
    marks: list[Any] = []
    told: list[Json] = []
    for row, (small, (size, true)) in enumerate(zip(split.targets.numpy(), truths, strict=True)):
        assert (size.height, size.width) == (120, 200)
        seen = small[small[:, 4] >= 0]
        moved = seen[:, :4] + rng.normal(0, 1.0, (len(seen), 4))
        boxes = np.column_stack([moved, rng.random(len(seen)), seen[:, 4]]).astype(np.float64)
        back = boxes_back(boxes, size, Size(64, 64), "pad")
        marks.append(detection_marks(back, true))
        told += [
            {"image_id": 100 + row, "category_id": categories[int(kind)], "score": score,
             "bbox": [left, top, right - left, bottom - top]}
            for left, top, right, bottom, score, kind in back
        ]  # fmt: skip
    expected = pycocotools_of(tmp_path / "test.json", told)
    found = detection_figures(stack_marks(marks))
    assert list(found.values()) == pytest.approx(expected[: len(found)], abs=1e-6)
    assert 0.05 < found["ap"] < found["ap50"] < 1


def pycocotools_of(path: Path, told: list[Json]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(path))
        known.dataset.setdefault("info", {})  # pycocotools 2.0.10 copies it
        judged = COCOeval(known, known.loadRes(told), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged.stats


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": []}, "it names no image"),
        ({"annotations": [{"image_id": 100, "category_id": 3}]}, "without 'bbox'"),
        ({"annotations": [box(100, 4, 0, 0, 2, 2)]}, "category 4 is not among its categories: 3"),
        ({"annotations": [box(9, 3, 0, 0, 2, 2)]}, "annotation of image 9, which is not"),
        ({"annotations": [box(100, 3, 1, 2)]}, r"bbox \[1, 2\] on image .*needed are four numbers"),
        ({"annotations": [box(100, 3, *[[1, 2]] * 4)]}, "needed are four numbers: left and upper"),
        ({"annotations": [box(100, 3, 1, 2, -3, 2)]}, "1, 2, -2, 4 is no box"),
        ({"annotations": [box(100, 3, 1, 2, "x", 2)]}, r"bbox \[1, 2, 'x', 2\] on image"),
        ({"annotations": 3}, "is no file of COCO"),
        ({"images": [{"id": 100}], "annotations": []}, "without 'file_name'"),
        ({"categories": [{"id": "x", "name": "y"}]}, "category 3 is not among its categories"),
        ({"categories": [], "annotations": []}, "no class of boxes"),
        ({"annotations": []}, "none of the 1 training images has an object .classes: car, d"),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, changed: Json, said: str) -> None:
    source = "coco:" + write(tmp_path, "x", 2, [box(100, 3, 0, 0, 2, 2)], **changed)
    with pytest.raises(SpecError, match=said) as caught:
        load(source)
    assert "\n" not in str(caught.value)


def test_two_images_of_one_name_and_a_file_cut_short_are_said(tmp_path: Path) -> None:
    things = [box(100, 3, 0, 0, 2, 2), box(101, 3, 0, 0, 2, 2)]
    source = "coco:" + write(tmp_path, "x", 2, things)
    path = tmp_path / "x.json"
    whole = path.read_text()
    for changed, said in (
        (whole.replace('"1.png"', '"0.png"'), "x.json: 2 images are called '0.png'; keep one"),
        (whole.replace('{"id": 101', '{"id": 100'), "x.json: two images have one id"),
        (whole.replace('"id": 90', '"id": 18'), "'brush' and 'dog' have one id, 18"),
        (whole[: len(whole) // 2], "x.json is no JSON"),
        (whole.replace('"width": 24', '"width": 25'), "0.png in .* image of 25x10 and .* is 24x10"),
    ):
        path.write_text(changed)
        with pytest.raises(SpecError, match=said) as caught:
            load(source)
        assert "\n" not in str(caught.value)
    (tmp_path / "x" / "1.png").unlink()
    path.write_text(whole)
    with pytest.raises(SpecError, match="image .*x/1.png is not there, which .*x.json names"):
        load(source)


def test_areas_of_any_kind_say_masks(tmp_path: Path) -> None:
    for name, segmentation, expected in (
        ("a", [], "boxes"), ("b", [[0, 0, 2, 0, 2, 2]], "masks"),
        ("c", {"size": [10, 24], "counts": [240]}, "masks"),
    ):  # fmt: skip
        thing = box(100, 3, 0, 0, 2, 2, segmentation=segmentation)
        assert guess_annotated("coco:" + write(tmp_path, name, 1, [thing])) == expected


def test_boxes_left_out_are_said(tmp_path: Path) -> None:
    things = [box(100, 3, 0, 0, 2, 2), box(100, 3, 0, 0, 2, 2), box(101, 3, 5, 5, 0, 2)]
    things += [box(101, 3, 0, 0, 2, 2)]
    notes: list[str] = []
    load("coco:" + write(tmp_path, "x", 2, things), note=notes.append)
    assert [note.partition(";")[0] for note in notes] == [
        "left out: 1 box outside its image or without area",
        "left out: 1 box that is there twice",
    ]
