"""Boxes as YOLO's trainers read them: yolo:data.yaml, which names folders of images and classes.

A line of a label file is a class number and a box, or an outline, in shares of the image's sides.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import NoTestPart, SpecError
from nas.base.files import read_yaml
from nas.data.box_part import Annotated, BoxPart, boxes_source, boxes_test_source
from nas.data.boxes import Objects
from nas.data.images import Images, ImageSource, Parts
from nas.data.listing import Listing, list_below, local_path, readable, text_of
from nas.data.reading import Reading

__all__ = ["YOLO_ARGUMENT", "label_part", "yolo", "yolo_test"]

YOLO_ARGUMENT = "DATA.yaml"

_NEEDED = "needed: train: and val: (folders of images, or files that list them), and names:"
_BEYOND = 1.01  # of the image's sides: what rounding may add


def yolo(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the images that a file names behind `train`, and behind `val`, with their boxes.

    Raises SpecError when they are not as they must be.
    """
    file = _File.read(argument)
    train = file.part("train")
    if train is None:
        raise SpecError(f"{file.called}: it names no images to train on; {_NEEDED}")
    root = file.path.parent
    return boxes_source(f"yolo:{argument}", train, file.part("val"), reading.classes, root)


def yolo_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the images behind `test`. Raises SpecError when there are none."""
    file = _File.read(argument)
    test, train = file.part("test"), file.part("train")
    if test is None or train is None:
        raise NoTestPart(f"data 'yolo:{argument}' brings no test part; needed: test: in the file")
    return boxes_test_source(f"yolo:{argument}", test, train, reading.classes)


class _File:
    """A file that names images and classes."""

    def __init__(self, path: Path, given: Mapping[Any, Any], names: Sequence[str]) -> None:
        self.path, self.given, self.names = path, given, names
        self.called = readable(path)

    @classmethod
    def read(cls, argument: str) -> _File:
        """Raises SpecError for a file that is none, or names no classes."""
        path = local_path(argument)
        if not path.is_file():
            raise SpecError(f"data file {readable(path)}: no such file; {_NEEDED}")
        given = read_yaml(text_of(path), readable(path), numbered=True)
        if not isinstance(given, dict):
            raise SpecError(f"{readable(path)}: it names no images and no classes; {_NEEDED}")
        return cls(path, given, _names(given.get("names"), given.get("nc"), readable(path)))

    def part(self, part: str) -> BoxPart | None:
        """Return the images of a part; None where it names none. Raises SpecError."""
        places = self.given.get(part) or []
        places = places if isinstance(places, list) else [places]
        if not places:
            return None
        paths: dict[str, None] = {}
        listings: list[Listing] = []
        for place in places:
            if not isinstance(place, str):
                raise SpecError(f"{self.called}: {part}: {place!r} is no path; {_NEEDED}")
            listing = self._images(place, part)
            paths |= dict.fromkeys(path for _, path in listing.files)
            listings.append(listing)
        if not paths:
            raise SpecError(f"{self.called}: {part}: there is no image in {places[0]!r}")
        own = Listing(self.path.parent, (("", str(self.path)),), Counter())
        notes = tuple(listing.note for listing in listings if listing.note)
        return label_part(list(paths), self.names, own, notes, keypoints="kpt_shape" in self.given)

    def _images(self, place: str, part: str) -> Listing:
        """Return the images of a folder, or of a file that lists them."""
        top = self._place(place)
        if top.is_dir():
            return list_below(top)
        if top.suffix == ".txt" and top.is_file():
            lines = [line.strip() for line in text_of(top).splitlines() if line.strip()]
            paths = [self._listed(line, top) for line in lines]
            return Listing(top.parent, tuple(("", str(path)) for path in paths), Counter())
        raise SpecError(
            f"{self.called}: {part}: {place!r}: no such folder, nor a file that lists images "
            f"(looked for in {readable(top)}); mend the path, or path:"
        )

    def _place(self, place: str) -> Path:
        """Return where a path leads: from `path:`, else from the file."""
        own = self.path.parent
        root = own / local_path(str(self.given.get("path") or ""))
        # Beside the file where path: is of another machine; without ../, as Roboflow writes.
        tried = [top / local_path(each)
                 for top in (root, own) for each in (place, place.removeprefix("../"))]  # fmt: skip
        return Path(os.path.normpath(next((one for one in tried if one.exists()), tried[0])))

    def _listed(self, line: str, top: Path) -> Path:
        path = (
            (top.parent / line.removeprefix("./")) if line.startswith("./") else self._place(line)
        )
        if not path.is_file():
            raise SpecError(
                f"there is no image {readable(path)}, which {readable(top)} names; add it, or take "
                "the line out"
            )
        return path


def _names(given: Any, count: Any, called: str) -> list[str]:
    """Return the names of classes, a list or by number. Raises SpecError."""
    if given is None and isinstance(count, int) and count > 0:
        return [str(number) for number in range(count)]
    if isinstance(given, dict) and sorted(given, key=str) == sorted(range(len(given)), key=str):
        given = [given[number] for number in range(len(given))]
    if not isinstance(given, list) or not given:
        fault = "it has no names:" if given is None else f"names: {given!r}"
        raise SpecError(f"{called}: {fault}; needed: a list, or numbers from 0 with names")
    names = [str(name) for name in given]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SpecError(f"{called}: class {twice!r} is there twice; merge by classes:")
    if isinstance(count, int) and count != len(names):
        raise SpecError(f"{called}: nc: {count}, and {len(names)} names; mend one")
    return names


def label_part(
    paths: Sequence[str],
    names: Sequence[str],
    file: Listing | None,
    notes: tuple[str, ...] = (),
    *,
    keypoints: bool = False,
) -> BoxPart:
    """Return images with their label files: labels/x.txt of images/x.jpg, else beside it.

    An image without a file has no objects.

    names: of the classes by number.
    file: what names them, by which the part is known, too.
    keypoints: whether lines go on behind a box.
    Raises SpecError where no image has a file, and for two images of one.
    """
    label_of = {path: _label_path(path) for path in paths}
    seen: dict[str, str] = {}
    for path, label in label_of.items():
        if seen.setdefault(label, path) != path:
            raise SpecError(
                f"{readable(path)} and {readable(seen[label])} are called alike; one image and one "
                "file of labels have a name"
            )
    there = [label for label in label_of.values() if os.path.isfile(label)]
    if not there:
        raise SpecError(
            f"no image of {readable(os.path.dirname(paths[0]))} has a file of labels; needed: "
            f"{readable(label_of[paths[0]])} of {readable(os.path.basename(paths[0]))}, and so on"
        )

    def read() -> Annotated:
        objects = [_objects(label_of[path], names, keypoints=keypoints) for path in paths]
        labels = list(label_of.values())
        numbers = {name: number for number, name in enumerate(names)}
        return Annotated(
            paths, objects, lambda row: f"labels {readable(labels[row])}", names, numbers
        )

    tops = [
        Path(os.path.commonpath([os.path.dirname(path) for path in of])) for of in (paths, there)
    ]
    files = [
        Listing(top, tuple(("", path) for path in of), Counter())
        for top, of in zip(tops, (paths, there), strict=True)
    ]
    return BoxPart(read, [*files, *([] if file is None else [file])], notes)


def _label_path(path: str) -> str:
    """Return the label file of an image: the last folder `images` of its path is `labels` there."""
    before, found, behind = path.rpartition(f"{os.sep}images{os.sep}")
    place = f"{before}{os.sep}labels{os.sep}{behind}" if found else path
    return f"{os.path.splitext(place)[0]}.txt"


def _objects(path: str, names: Sequence[str], *, keypoints: bool) -> Objects:
    """Read the objects of one image. Raises SpecError for a line that names none."""
    held: list[str] = []
    boxes: list[NDArray[np.float64]] = []
    lines = text_of(Path(path)).splitlines() if os.path.isfile(path) else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        called = f"labels {readable(path)}, line {number}"
        try:
            kind, *values = (float(value) for value in line.split())
        except ValueError:
            raise SpecError(f"{called}: {line.strip()[:40]!r} are no numbers; mend it") from None
        box = np.array(values[:4] if keypoints else values)
        if len(box) != 4 and (len(box) < 6 or len(box) % 2):
            raise SpecError(
                f"{called}: {len(values) + 1} values; needed: class, middle x, middle y, width, "
                "height, or a class and an outline of three or more points"
            )
        if not (np.isfinite(box).all() and (box >= 1 - _BEYOND).all() and (box <= _BEYOND).all()):
            raise SpecError(
                f"{called}: a box beyond the image; its numbers are shares of width and height, 0 "
                "to 1"
            )
        if kind not in range(len(names)):
            raise SpecError(
                f"{called}: class number {kind:g}; allowed: 0 to {len(names) - 1}; mend the line, "
                "or the names of classes"
            )
        held.append(names[int(kind)])
        boxes.append(_around(box))
    return Objects(tuple(held), np.array(boxes, dtype=np.float64).reshape(-1, 4), None)


def _around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of a box that is said by its middle and sides, or around an outline."""
    if len(values) == 4:
        return np.concatenate([values[:2] - values[2:] / 2, values[:2] + values[2:] / 2])
    points = values.reshape(-1, 2)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
