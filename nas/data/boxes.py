"""Boxes: the objects that files name, and which of the classes that are told apart each is of."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.images import Boxes, Images
from nas.data.masks import merged_classes, rarest_classes
from nas.data.reading import Merging

__all__ = ["BoxNumbering", "Objects"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SHOWN = 12  # classes in an error
_FAR = 0.1  # of an image's side
_FEW_FAR = 2  # boxes, which say nothing of a format
_MANY_FAR = 0.05  # of all boxes: right ones reach beyond by little, those of another format by much
_WHOLE = Size(1, 1)  # of which shares are pixels


@dataclass(frozen=True)
class Objects:
    """The objects of one image, as a file has them.

    names: the class of each, of M.
    boxes: (M, 4): x1, y1, x2, y2, from the outer edges.
    size: of the image that they are pixels of; None: they are shares of its sides.
    crowd: (M,), regions that do not count; None: there is none.
    areas: (M,), by which objects are small or large; None: those of their boxes.
    """

    names: tuple[str, ...]
    boxes: Floats
    size: Size | None
    crowd: Flags | None = None
    areas: Floats | None = None

    def rows(self, numbers: Mapping[str, int]) -> Floats:
        """Return them as `Boxes` has them, (M, 7), their classes numbered; -1: of none."""
        count = len(self.names)
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        crowd = np.zeros(count) if self.crowd is None else self.crowd
        areas = sides.prod(axis=1) if self.areas is None else self.areas
        classes = np.array([numbers.get(name, -1) for name in self.names], dtype=np.float64)
        return np.column_stack([self.boxes.reshape(count, 4), classes, crowd, areas])


@dataclass(frozen=True, slots=True)
class BoxNumbering:
    """Which classes are told apart, and of which of them the objects of files are.

    known: the classes of files.
    classes: those that are told apart, in order.
    numbers: class of files -> place in `classes`; one that is left out has none.
    """

    known: tuple[str, ...]
    classes: tuple[str, ...]
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, names: Mapping[int, str], merging: Merging, source: str) -> BoxNumbering:
        """Return the classes of files, merged where that is asked for.

        source: in errors.
        Raises SpecError for classes that are not there or in two others, and without any.
        """
        merged = merged_classes(names, merging, source)
        if not merged:
            raise SpecError(f"data {source!r}: no class of boxes; at least 1 is needed")
        place = {old: place for place, olds in enumerate(merged.values()) for old in olds}
        known = tuple(names.values())
        return cls(known, tuple(merged), {name: place[name] for name in known if name in place})

    def images(
        self,
        read: Callable[[int], Image.Image],
        called: Callable[[int], str],
        objects: Sequence[Objects],
        annotations: Callable[[int], str],
    ) -> Images:
        """Return images with boxes of the classes that are told apart.

        One without objects stays, of a class of its own behind all others. Boxes outside their
        image or without area, and those that are there twice, are left out, which is noted; so is
        where many reach far beyond their image, as those of another format do.

        annotations: row -> what to call its boxes in an error.
        Raises SpecError for a class that files do not have, and for boxes that are none.
        """
        kept: list[Floats] = []
        empty = _Left("outside its image or without area", "outside their image or without area")
        twice = _Left("that is there twice", "that are there twice")
        far: list[int] = []
        for row, one in enumerate(objects):
            self._check(one, annotations, row)
            boxes = one.rows(self.numbers)
            boxes = boxes[boxes[:, 4] >= 0]
            boxes = empty.without(_is_empty(boxes, one.size), boxes, row)
            far += [row] * int(_is_far_beyond(boxes, one.size).sum())
            kept.append(twice.without(_is_again(boxes), boxes, row))
        there = np.zeros((len(kept), len(self.classes)), dtype=np.bool_)
        for row, boxes in enumerate(kept):
            there[row, boxes[boxes[:, 5] == 0, 4].astype(np.int64)] = True
        labels = rarest_classes(there)
        labels[labels < 0] = len(self.classes)
        notes = tuple(left.note(annotations) for left in (empty, twice) if left.rows)
        count = sum(map(len, kept))
        if len(far) > max(_FEW_FAR, _MANY_FAR * count):
            notes += (
                f"{len(far)} of {count} boxes reach far beyond their image, the first in "
                f"{annotations(far[0])}, and are cut there: are they in the order of this format? "
                "COCO has left, upper, width, height",
            )
        held = Boxes(kept, [one.size for one in objects], annotations)
        return Images(labels, read, called, notes=notes, boxes=held)

    def _check(self, objects: Objects, annotations: Callable[[int], str], row: int) -> None:
        for name in objects.names:
            if name not in self.known:
                near = difflib.get_close_matches(name, self.known, n=3)
                listed = list(dict.fromkeys([*near, *self.known]))
                more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
                raise SpecError(
                    f"{annotations(row)}: class {name!r} is not among those of the data: "
                    f"{', '.join(listed[:_SHOWN])}{more}; mend the name"
                )
        boxes = objects.boxes
        wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
        for box in boxes[wrong][:1]:
            raise SpecError(
                f"{annotations(row)}: {', '.join(f'{value:g}' for value in box)} is no box; needed "
                "are its left, upper, right and lower edge, in this order"
            )


class _Left:
    """Boxes that are left out, and of which images."""

    def __init__(self, one: str, several: str) -> None:
        self.one, self.several = one, several
        self.rows: list[int] = []

    def without(self, wrong: Flags, boxes: Floats, row: int) -> Floats:
        """Return boxes without the wrong ones, which are counted."""
        self.rows += [row] * int(wrong.sum())
        return boxes[~wrong]

    def note(self, annotations: Callable[[int], str]) -> str:
        """Return what is said of them."""
        count = len(self.rows)
        boxes = f"1 box {self.one}" if count == 1 else f"{count} boxes {self.several}"
        return f"left out: {boxes}; the first in {annotations(self.rows[0])}"


def _is_empty(boxes: Floats, size: Size | None) -> Flags:
    """Return whether nothing of boxes is in their image."""
    edge = size or _WHOLE
    seen = boxes[:, :4].clip(0, [edge.width, edge.height, edge.width, edge.height])
    return np.asarray((seen[:, 2:] <= seen[:, :2]).any(axis=1))


def _is_far_beyond(boxes: Floats, size: Size | None) -> Flags:
    """Return which boxes reach beyond their image by more than a share of its side."""
    edge = size or _WHOLE
    sides = np.array([edge.width, edge.height])
    beyond = np.maximum(-boxes[:, :2], boxes[:, 2:4] - sides) / sides
    return np.asarray((beyond > _FAR).any(axis=1))


def _is_again(boxes: Floats) -> Flags:
    """Return which boxes, with class and crowd, are there before."""
    again = np.ones(len(boxes), dtype=np.bool_)
    if len(boxes):
        again[np.unique(boxes[:, :6], axis=0, return_index=True)[1]] = False
    return again
