"""The images of a source before they are decoded, and how they are decoded."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError, first_line
from nas.base.machine import usable_cores
from nas.base.size import Size
from nas.data.geometry import (
    ON_ITS_SIDE,
    boxes_to_size,
    clip_boxes,
    mask_to_size,
    to_size,
    turn_boxes,
    turn_of,
)
from nas.data.reading import Resize

__all__ = [
    "IMAGE_PIXELS",
    "Boxes",
    "Categories",
    "Held",
    "ImageSource",
    "Images",
    "Masks",
    "Numbered",
    "Parts",
    "decode_ahead",
    "error_reason",
    "in_memory",
    "number_classes",
    "pillow_as_needed",
    "upright_boxes",
    "upright_mask",
    "upright_size",
]

IMAGE_PIXELS = "NAS_IMAGE_PIXELS"
"""The environment variable that raises how many pixels an image may have."""

_COLUMNS = 6  # of boxes; see `Split`
_BLOCK = 64  # images decoded in one go by one thread
Held = TypeVar("Held")

Categories = tuple[tuple[tuple[int, str], ...], ...]
"""The number and name in files of each class that is merged into one, for each that is told apart;
none where files have no numbers."""


@dataclass(frozen=True)
class Masks:
    """The masks of images, read when they are asked for.

    read: row -> the class of each pixel, (height, width) uint8, 255 where none counts; whatever it
        raises makes the mask a broken one.
    called: row -> what to call it in an error.
    """

    read: Callable[[int], NDArray[np.uint8]]
    called: Callable[[int], str]

    def only(self, rows: NDArray[np.int64]) -> Masks:
        """Return the masks of some rows, in their order."""
        return Masks(lambda row: self.read(int(rows[row])), lambda row: self.called(int(rows[row])))

    def checked(self, row: int) -> NDArray[np.uint8]:
        """Read a mask. Raises SpecError, which names it, when it is broken."""
        try:
            return self.read(row)
        except SpecError:
            raise
        except Exception as error:  # a damaged file makes its decoder raise anything
            raise SpecError(
                f"{self.called(row)} cannot be read ({error_reason(error)}); mend or remove it"
            ) from None


@dataclass(frozen=True)
class Boxes:
    """The boxes of images.

    of: of each image, (M, 7) float64: x1, y1, x2, y2 from the outer edges, class, 1 for a region
        that does not count, and the area by which the object is small or large.
    sizes: of each, the size of the image that boxes are pixels of; None: they are shares of its
        sides, and so is the area.
    called: row -> what to call its boxes in an error.
    """

    of: Sequence[NDArray[np.float64]]
    sizes: Sequence[Size | None]
    called: Callable[[int], str]

    @property
    def most(self) -> int:
        """The most boxes of an image, one at least."""
        return max((len(boxes) for boxes in self.of), default=1) or 1

    def only(self, rows: NDArray[np.int64]) -> Boxes:
        """Return the boxes of some rows, in their order."""
        chosen = [int(row) for row in rows]
        return Boxes(
            [self.of[row] for row in chosen],
            [self.sizes[row] for row in chosen],
            lambda row: self.called(chosen[row]),
        )


@dataclass(frozen=True)
class Images:
    """The images of one part of a source, decoded when they are asked for.

    labels: (N,) int64; see `Split`.
    read: row -> image; whatever it raises makes the image a broken one.
    called: row -> what to call it in an error.
    masks: where they are annotated with masks.
    boxes: where they are annotated with boxes.
    annotations: what else is known of each, (N, ...) int64; see `Split`.
    groups: (N,) int64; images of one group are not cut apart. None: each stands for itself.
    notes: what a user should hear of when they are decoded, in sentences.
    """

    labels: NDArray[np.int64]
    read: Callable[[int], Image.Image]
    called: Callable[[int], str]
    masks: Masks | None = None
    annotations: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    boxes: Boxes | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def drawn(self, size: Size) -> tuple[tuple[int, ...], str] | None:
        """Return shape and type of the annotations that are made as images become of a size."""
        if self.masks is not None:
            return (len(self), size.height, size.width), "|u1"
        return None if self.boxes is None else ((len(self), self.boxes.most, _COLUMNS), "<f4")

    def only(self, rows: NDArray[np.int64]) -> Images:
        """Return the images of some rows, in their order."""
        return Images(
            self.labels[rows],
            lambda row: self.read(int(rows[row])),
            lambda row: self.called(int(rows[row])),
            None if self.masks is None else self.masks.only(rows),
            None if self.annotations is None else self.annotations[rows],
            None if self.groups is None else self.groups[rows],
            self.notes,
            None if self.boxes is None else self.boxes.only(rows),
        )


@dataclass(frozen=True)
class Parts:
    """The parts of a source that a search may see.

    validation: None when the source brings none.
    mirror: see `Dataset`.
    numbers: of masks, the class that each number in a file stands for; see `Numbering`. Of boxes,
        the classes of the files, by number.
    categories: see `Dataset`.
    """

    classes: tuple[str, ...]
    train: Images
    validation: Images | None = None
    mirror: bool = True
    numbers: Mapping[int, str] | None = None
    categories: Categories = ()


Numbered = Callable[[Parts], Images]
"""A function from the parts of a source to other images, whose classes it numbers as theirs."""


@dataclass(frozen=True)
class ImageSource(Generic[Held]):
    """A source of images, not read yet.

    content: a text that changes when any image or label does; known without decoding. Of files:
        also when they are moved or written again.
    open: reads labels.
    digest: reads files; returns a text that changes when what they hold does, and not otherwise.
        None: `content` is such a text.
    notes: what a user should hear of, in sentences, such as what is left out.
    """

    content: str
    open: Callable[[], Held]
    digest: Callable[[], str] | None = None
    notes: tuple[str, ...] = ()


def in_memory(pixels: NDArray[np.uint8], labels: NDArray[np.int64], name: str) -> Images:
    """Return images of pixels that are in memory.

    pixels: (N, H, W) or (N, H, W, 3).
    name: of the source in errors.
    """
    return Images(
        labels, lambda row: Image.fromarray(pixels[row]), lambda row: f"image {row} of {name}"
    )


def number_classes(
    labels: Sequence[object] | NDArray[np.generic], classes: tuple[str, ...] | None, name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the classes, and for each label the number of its class.

    labels: all whole numbers from 0, or all texts.
    classes: those of the training part, which labels must be of; None takes the labels that
        occur, in order.
    Raises SpecError for a label of another type or class.
    """
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    texts = bool(plain) and isinstance(plain[0], str)
    for label in plain:
        if not (isinstance(label, str) if texts else _is_number(label)):
            raise SpecError(
                f"{name}: label {label!r} ({type(label).__name__}); allowed: all whole numbers "
                "from 0, or all texts"
            )
    occurring = sorted(set(plain))  # type: ignore[type-var]  # all of one type, which has an order
    if classes is None:
        classes = tuple(str(label) for label in occurring)
    number = {label: index for index, label in enumerate(classes)}
    unknown = [str(label) for label in occurring if str(label) not in number]
    if unknown:
        raise SpecError(f"{name}: class {unknown[0]!r} is not in the training part; both need it")
    return classes, np.asarray([number[str(label)] for label in plain], dtype=np.int64)


def _is_number(label: object) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and label >= 0


def error_reason(error: Exception) -> str:
    """Return what an error of another library says, in one line."""
    return getattr(error, "strerror", None) or first_line(error)


Block = tuple[NDArray[np.uint8], NDArray[Any] | None]
"""Images, (n, H, W, 3), and their masks, (n, H, W), or boxes, (n, M, 6); None without either."""


def decode_ahead(images: Images, size: Size, resize: Resize = "crop") -> Iterator[Block]:
    """Yield images and their masks or boxes in their order, block by block, decoded by threads.

    resize: see `Reading`.
    Raises SpecError, which names the first image or mask that cannot be read.
    """
    workers = usable_cores()
    with pillow_as_needed(), ThreadPoolExecutor(max_workers=workers) as pool:
        ahead: deque[Future[Block]] = deque()
        try:
            for start in range(0, len(images), _BLOCK):
                rows = range(start, min(start + _BLOCK, len(images)))
                ahead.append(pool.submit(_block, images, rows, size, resize))
                if len(ahead) > 2 * workers:  # a slow disk is not outrun until memory is full
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def pillow_as_needed() -> Iterator[None]:
    """Let Pillow read images as large as the user allows, and keep silent about odd metadata."""
    # Pillow knows no other place for either; around all threads, since both are of the process.
    before = Image.MAX_IMAGE_PIXELS
    logger, silent = logging.getLogger("PIL"), logging.NullHandler()
    if IMAGE_PIXELS in os.environ:
        Image.MAX_IMAGE_PIXELS = -(-_allowed_pixels() // 2)  # it refuses twice as many
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            logger.addHandler(silent)
            yield
    finally:
        logger.removeHandler(silent)
        Image.MAX_IMAGE_PIXELS = before


def _allowed_pixels() -> int:
    text = os.environ[IMAGE_PIXELS]
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise SpecError(f"{IMAGE_PIXELS}={text!r}; allowed: a number of pixels, such as 500000000")
    return int(text)


def _block(images: Images, rows: range, size: Size, resize: Resize) -> Block:
    pixels = np.stack([_pixels(images, row, size, resize) for row in rows])
    drawn = images.drawn(size)
    if drawn is None:
        return pixels, None
    shape, kind = drawn
    annotations = np.zeros((len(rows), *shape[1:]), dtype=kind)
    for held, row in zip(annotations, rows, strict=True):
        if images.masks is not None:
            held[:] = mask_to_size(upright_mask(images, row), size, resize)
        else:
            held[:] = _boxes(images, row, size, resize, shape[1])
    return pixels, annotations


def _pixels(images: Images, row: int, size: Size, resize: Resize) -> NDArray[np.uint8]:
    with _named(images, row), images.read(row) as image:
        return to_size(image, size, resize, exact=images.drawn(size) is not None)


def _boxes(images: Images, row: int, size: Size, resize: Resize, most: int) -> NDArray[np.float64]:
    """Return the boxes of an image of a size: (most, 6), see `Split`."""
    original, boxes = upright_boxes(images, row)
    seen = clip_boxes(boxes_to_size(boxes, original, size, resize), size)
    held = np.zeros((most, _COLUMNS))
    held[:, 4] = -1
    held[: len(seen)] = seen[:, :_COLUMNS]
    return held


def upright_size(image: Image.Image) -> Size:
    """Return the size of an image that is turned as EXIF says."""
    size = Size(image.height, image.width)
    return Size(size.width, size.height) if turn_of(image) in ON_ITS_SIDE else size


def upright_boxes(images: Images, row: int) -> tuple[Size, NDArray[np.float64]]:
    """Return the size of an upright image, and its boxes on it: (M, 7), see `Boxes`.

    Boxes of the stored image's size are turned with it; those of the upright image's size lie as
    they must, and so do shares.
    Raises SpecError for boxes of another size.
    """
    assert images.boxes is not None
    boxes, of = images.boxes.of[row], images.boxes.sizes[row]
    with _named(images, row), images.read(row) as image:
        stored, turn, size = Size(image.height, image.width), turn_of(image), upright_size(image)
    if of is None:
        sides = np.array([size.width, size.height] * 2 + [1, 1, size.pixels], dtype=np.float64)
        return size, boxes * sides
    if of == stored:
        return size, boxes if turn is None else turn_boxes(boxes, stored, turn)
    if of == size:
        return size, boxes
    raise SpecError(
        f"{images.boxes.called(row)} are of an image of {of.width}x{of.height} and "
        f"{images.called(row)} is {stored.width}x{stored.height} (width x height); boxes need the "
        "size of their image"
    )


@contextmanager
def _named(images: Images, row: int) -> Iterator[None]:
    """Let what an image raises be a SpecError that names it."""
    try:
        yield
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        pixels = int(number[0]) if number else 0
        raise SpecError(
            f"{images.called(row)} has {pixels:,} pixels; at most "
            f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,} are read, for the memory that it takes; make "
            f"it smaller, or set {IMAGE_PIXELS}={pixels} in the environment"
        ) from None
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise SpecError(
            f"{images.called(row)} cannot be read ({error_reason(error)}); mend or remove it"
        ) from None


def upright_mask(images: Images, row: int) -> NDArray[np.uint8]:
    """Return the mask of an image as it lies on the upright image: (height, width).

    A mask of the stored image's size is turned with it; one of the upright image's size lies as it
    must, as programs draw it that show images upright.
    Raises SpecError for a mask of another size, or one that cannot be read.
    """
    assert images.masks is not None
    mask = images.masks.checked(row)
    with _named(images, row), images.read(row) as image:
        (width, height), turn = image.size, turn_of(image)
    if mask.shape == (height, width):
        turned = Image.fromarray(mask) if turn is None else Image.fromarray(mask).transpose(turn)
        return np.asarray(turned, dtype=np.uint8)
    if turn in ON_ITS_SIDE and mask.shape == (width, height):
        return mask
    raise SpecError(
        f"{images.masks.called(row)} is {mask.shape[1]}x{mask.shape[0]} and {images.called(row)} "
        f"{width}x{height} (width x height); a mask needs the size of its image"
    )
