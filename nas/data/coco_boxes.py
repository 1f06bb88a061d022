"""Boxes of COCO, as coco:IMAGES,FILE.json: the `bbox` of each annotation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.box_part import Annotated, BoxPart, boxes_source, boxes_test_source
from nas.data.boxes import Objects
from nas.data.coco import (
    CocoPair,
    categories_in_order,
    coco_pairs,
    images_by_id,
    no_coco_test,
    said_of_coco,
)
from nas.data.coco_file import read_coco
from nas.data.images import Images, ImageSource, Parts
from nas.data.listing import readable
from nas.data.reading import Reading

__all__ = ["coco_boxes", "coco_boxes_test", "coco_part"]

_BOX = 4  # numbers
_SHOWN = 60  # characters of what is none


def coco_boxes(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the images of the first pair, and those of the second for validation, with boxes.

    Classes are the categories of the first, by number, also those without an object.
    Raises SpecError when they are not as they must be.
    """
    train, held, _ = coco_pairs(argument)
    assert train is not None
    validation = None if held is None else coco_part(held)
    root = train.images.top.parent
    return boxes_source(f"coco:{argument}", coco_part(train), validation, reading.classes, root)


def coco_boxes_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the images of the third pair with their boxes. Raises SpecError without one."""
    train, _, test = coco_pairs(argument)
    if train is None or test is None:
        raise no_coco_test(argument)
    source = f"coco:{argument}"
    return boxes_test_source(source, coco_part(test), coco_part(train), reading.classes)


def coco_part(pair: CocoPair) -> BoxPart:
    """Return the images that a file names, and their boxes."""
    return BoxPart(lambda: _read(pair), pair.files, pair.notes)


def _read(pair: CocoPair) -> Annotated:
    """Raises SpecError for a file that is none of COCO's, or too large for memory."""
    given, called = read_coco(pair.file), readable(pair.file)
    with said_of_coco(called):
        order = categories_in_order(given["categories"], called)
        names = {category["id"]: str(category["name"]) for category in order}
        images = images_by_id(given["images"], called)
        files = [str(image["file_name"]) for image in images.values()]
        of_image: dict[Any, list[Any]] = defaultdict(list)
        for entry in given["annotations"]:
            if entry["category_id"] not in names:
                raise SpecError(
                    f"{called}: category {entry['category_id']!r} is not among its categories: "
                    f"{', '.join(map(str, list(names)[:12]))}"
                )
            if entry["image_id"] not in images:
                raise SpecError(
                    f"{called}: an annotation of image {entry['image_id']!r}, which is not among "
                    "its images"
                )
            _check_box(entry["bbox"], images[entry["image_id"]]["file_name"], called)
            of_image[entry["image_id"]].append(entry)
        objects = [
            _objects(of_image[key], names, Size(int(image["height"]), int(image["width"])))
            for key, image in images.items()
        ]
    return Annotated(
        pair.paths(files),
        objects,
        lambda row: f"boxes of {files[row]} in {called}",
        list(dict.fromkeys(names.values())),
        {name: number for number, name in reversed(names.items())},
    )


def _check_box(box: Any, file: Any, called: str) -> None:
    """Raises SpecError for other than four numbers; what they say is checked later."""
    numbers = isinstance(box, list) and all(
        isinstance(value, Number) and not isinstance(value, bool) for value in box
    )
    if not numbers or len(box) != _BOX:
        raise SpecError(
            f"{called}: bbox {str(box)[:_SHOWN]} on image {file!r}; needed are four numbers: left "
            "and upper edge, width and height"
        )


def _objects(entries: Sequence[Any], names: dict[Any, str], size: Size) -> Objects:
    boxes = np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)
    areas = [
        float(width * height) if (area := entry.get("area")) is None else float(area)
        for entry, (_, _, width, height) in zip(entries, boxes, strict=True)
    ]
    boxes[:, 2:] += boxes[:, :2]
    return Objects(
        tuple(names[entry["category_id"]] for entry in entries),
        boxes,
        size,
        np.array([bool(entry.get("iscrowd", 0)) for entry in entries], dtype=np.bool_),
        np.array(areas, dtype=np.float64),
    )
