"""COCO: a folder of images and a file of annotations, as coco:IMAGES,FILE.json.

Two more of such pairs, behind commas, are for validation and the test part. As in torchvision's
reference for segmentation, pixels of no thing are background, and what two things claim does not
count; nor does a crowd.
"""

from __future__ import annotations

import mmap
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import NoTestPart, SpecError
from nas.data.coco_file import read_coco
from nas.data.content import content_digest, stamps_digest
from nas.data.geometry import IGNORED
from nas.data.images import Images, ImageSource, Masks, Parts
from nas.data.listing import Listing, list_below, local_path, readable
from nas.data.masked_part import MaskedPart
from nas.data.masks import Numbering
from nas.data.rasterise import area_of
from nas.data.reading import Reading

__all__ = [
    "COCO_ARGUMENT",
    "CocoPair",
    "categories_in_order",
    "coco",
    "coco_pairs",
    "coco_test",
    "has_areas",
    "images_by_id",
    "no_coco_test",
    "said_of_coco",
]

COCO_ARGUMENT = "IMAGES,FILE.json"

_AREA = re.compile(rb'"segmentation"\s*:\s*(\[\s*[^\]\s]|\{)')
_BACKGROUND = "background"


def coco(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the images of the first pair, and those of the second for validation, with masks.

    Raises SpecError when they are not as they must be.
    """
    train, held, _ = coco_pairs(argument)
    assert train is not None

    def read() -> Parts:
        annotated = train.read()
        numbering = Numbering.of(annotated.names, reading.classes, f"coco:{argument}")
        validation = None
        if held is not None:
            validation = held.read(annotated).part.images(numbering)
        return Parts(
            numbering.classes,
            annotated.part.images(numbering),
            validation,
            numbers=annotated.names,
        )

    return _source([pair for pair in (train, held) if pair is not None], read)


def coco_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the images of the third pair with their masks. Raises SpecError without one."""
    train, _, test = coco_pairs(argument)
    if train is None or test is None:
        raise no_coco_test(argument)

    def read() -> Images:
        annotated = train.read()
        numbering = Numbering.of(annotated.names, reading.classes, f"coco:{argument}")
        return test.read(annotated).part.images(numbering)

    files = [*test.files, train.files[1]]  # which says what is called how
    return ImageSource(stamps_digest(files), read, lambda: content_digest(files), test.notes)


def no_coco_test(argument: str) -> NoTestPart:
    """Return the error of a source without a third pair."""
    return NoTestPart(
        f"data 'coco:{argument}' brings no test part; a third pair is one: "
        f"coco:{COCO_ARGUMENT},{COCO_ARGUMENT},{COCO_ARGUMENT} (the second is for validation)"
    )


def has_areas(argument: str) -> bool:
    """Return whether the annotations of a source have areas from which masks can be drawn.

    True where that cannot be told. Nothing is parsed: the first area ends the look.
    """
    _, _, file = argument.partition(",")
    try:
        with local_path(file.partition(",")[0]).open("rb") as held:
            with mmap.mmap(held.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _AREA.search(content) is not None
    except (OSError, ValueError):
        return True


def _source(pairs: Sequence[CocoPair], read: Callable[[], Parts]) -> ImageSource[Parts]:
    files = [listing for pair in pairs for listing in pair.files]
    notes = tuple(note for pair in pairs for note in pair.notes)
    return ImageSource(stamps_digest(files), read, lambda: content_digest(files), notes)


def coco_pairs(argument: str) -> tuple[CocoPair | None, CocoPair | None, CocoPair | None]:
    """Return the pairs for training, validation and test. Raises SpecError where one is none."""
    places = argument.split(",")
    if len(places) not in {2, 4, 6} or not places[0]:
        raise SpecError(
            f"data 'coco:{argument}'; allowed: coco:{COCO_ARGUMENT}, then another pair for "
            "validation and a third for the test part, each behind a comma (a pair may be empty; a "
            "path holds no comma)"
        )
    places += [""] * (6 - len(places))
    one, two, three = (
        CocoPair.of(images, file) if images or file else None
        for images, file in zip(places[::2], places[1::2], strict=True)
    )
    return one, two, three


@dataclass(frozen=True)
class _Annotated:
    """A file of annotations that was read.

    names: class number -> name; 0 is the background.
    numbers: the file's number of a category -> class number.
    """

    names: Mapping[int, str]
    numbers: Mapping[int, int]
    part: MaskedPart


@dataclass(frozen=True)
class _Thing:
    """An annotation of an image: a class number, where it is, and whether it is of a crowd."""

    number: int
    segmentation: Any
    crowd: bool


@dataclass(frozen=True)
class CocoPair:
    """A folder of images and a file of annotations, not read yet."""

    images: Listing
    file: Path

    @classmethod
    def of(cls, images: str, file: str) -> CocoPair:
        """Raises SpecError where one is not there."""
        folder, path = local_path(images), local_path(file)
        if not images or not folder.is_dir():
            raise SpecError(f"images {readable(folder)}: no such folder; needed: {COCO_ARGUMENT}")
        if not file or not path.is_file():
            raise SpecError(f"annotations {readable(path)}: no such file; needed: {COCO_ARGUMENT}")
        return cls(list_below(folder), path)

    @property
    def files(self) -> tuple[Listing, Listing]:
        """All that it is read from."""
        return self.images, Listing(self.file.parent, (("", str(self.file)),), Counter())

    @property
    def notes(self) -> tuple[str, ...]:
        """The files of the folder that are left out, in sentences."""
        return (self.images.note,) if self.images.note else ()

    def read(self, train: _Annotated | None = None) -> _Annotated:
        """Read the annotations.

        train: those whose categories they are numbered by; None: by their own.
        Raises SpecError for a file that is none of COCO's, or too large for memory.
        """
        given, called = read_coco(self.file), readable(self.file)
        with said_of_coco(called):
            if train is None:
                names, numbers = _categories(given["categories"], called)
            else:
                names, numbers = dict(train.names), dict(train.numbers)
            images = images_by_id(given["images"], called)
            things: dict[Any, list[_Thing]] = defaultdict(list)
            for entry in given["annotations"]:
                if entry["category_id"] not in numbers:
                    raise SpecError(
                        f"{called}: category {entry['category_id']!r} is not among those of the "
                        f"training file: {', '.join(map(str, sorted(numbers)[:12]))}"
                    )
                if entry["image_id"] not in images:
                    raise SpecError(
                        f"{called}: an annotation of image {entry['image_id']!r}, which is not "
                        "among its images"
                    )
                number, crowd = numbers[entry["category_id"]], bool(entry.get("iscrowd", 0))
                things[entry["image_id"]].append(_Thing(number, entry["segmentation"], crowd))
            rows = [
                (str(image["file_name"]), int(image["height"]), int(image["width"]), things[key])
                for key, image in images.items()
            ]
        return _Annotated(names, numbers, self._part(rows))

    def paths(self, names: Sequence[str]) -> list[str]:
        """Return where the images of these names are. Raises SpecError for one that is not."""
        there = {readable(path): path for _, path in self.images.files}
        paths: list[str] = []
        for name in names:
            path = f"{readable(self.images.top)}/{name}"
            if path not in there:
                raise SpecError(
                    f"image {path} is not there, which {readable(self.file)} names; add it, or "
                    "name another folder"
                )
            paths.append(there[path])
        return paths

    def _part(self, rows: Sequence[tuple[str, int, int, list[_Thing]]]) -> MaskedPart:
        paths = self.paths([name for name, *_ in rows])

        def read(row: int) -> NDArray[np.uint8]:
            _, height, width, things = rows[row]
            return _drawn(things, height, width)

        def found() -> NDArray[np.bool_]:
            numbers = np.zeros((len(rows), 256), dtype=np.bool_)
            numbers[:, 0] = True
            for row, (_, _, _, things) in enumerate(rows):
                numbers[row, [thing.number for thing in things if not thing.crowd]] = True
            return numbers

        masks = Masks(read, lambda row: f"mask of {rows[row][0]} in {readable(self.file)}")
        listed = Listing(self.images.top, tuple(("", path) for path in paths), Counter())
        return MaskedPart(listed, masks, found, self.files)


@contextmanager
def said_of_coco(called: str) -> Iterator[None]:
    """Let what a file lacks, or has otherwise than COCO, be a SpecError of one line."""
    try:
        yield
    except KeyError as error:
        raise SpecError(f"{called}: an entry without {error}; needed: a file of COCO") from None
    except (ValueError, OverflowError) as error:
        raise SpecError(f"{called} is no file of COCO ({error})") from None
    except (TypeError, AttributeError):  # whose words are Python's
        raise SpecError(
            f"{called} is no file of COCO; needed: keys with lists, images, annotations, categories"
        ) from None


def images_by_id(listed: Iterable[Any], called: str) -> dict[Any, Any]:
    """Return the images of a file by their numbers, in its order.

    called: the file, in errors.
    Raises SpecError for two images of one number or name, and without any.
    """
    entries = list(listed)
    images = {image["id"]: image for image in entries}
    if not images:
        raise SpecError(f"{called}: it names no image")
    if len(entries) > len(images):
        raise SpecError(f"{called}: two images have one id; each needs its own")
    name, times = Counter(str(image["file_name"]) for image in entries).most_common(1)[0]
    if times > 1:
        raise SpecError(f"{called}: {times} images are called {name!r}; keep one of them")
    return images


def categories_in_order(listed: Iterable[Any], called: str) -> list[Any]:
    """Return the categories of a file by their numbers, which may have gaps.

    Raises SpecError for two categories of one number.
    """
    order = sorted(listed, key=lambda category: category["id"])
    for one, another in pairwise(order):
        if one["id"] == another["id"]:
            raise SpecError(
                f"{called}: categories {one['name']!r} and {another['name']!r} have one id, "
                f"{one['id']!r}; each needs its own"
            )
    return order


def _categories(given: Any, called: str) -> tuple[dict[int, str], dict[int, int]]:
    """Return the names of classes, and the class number of each category."""
    order = categories_in_order(given, called)
    if len(order) > IGNORED - 1:
        raise SpecError(f"{len(order)} categories; at most {IGNORED - 1} are read")
    names = {0: _BACKGROUND} | {place: str(one["name"]) for place, one in enumerate(order, 1)}
    return names, {int(one["id"]): place for place, one in enumerate(order, 1)}


def _drawn(things: Sequence[_Thing], height: int, width: int) -> NDArray[np.uint8]:
    """Return the class of each pixel: of the one thing that claims it, else background."""
    mask = np.zeros((height, width), dtype=np.uint8)
    claims = np.zeros((height, width), dtype=np.int64)
    crowds = np.zeros((height, width), dtype=np.bool_)
    for thing in things:
        area = area_of(thing.segmentation, height, width)
        if thing.crowd:
            crowds |= area
            continue
        mask[area] = thing.number
        claims += area
    mask[(claims > 1) | (crowds & (claims == 0))] = IGNORED
    return mask
