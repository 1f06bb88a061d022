"""The images of a source before they are decoded, and how they are decoded."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from nas.base.errors import SpecError
from nas.base.machine import usable_cores
from nas.base.size import Size
from nas.data.reading import Resize

__all__ = [
    "Held",
    "IMAGE_PIXELS",
    "ImageSource",
    "Images",
    "Parts",
    "decode_ahead",
    "error_reason",
    "in_memory",
    "number_classes",
    "to_size",
    "upright",
]

IMAGE_PIXELS = "NAS_IMAGE_PIXELS"
"""The environment variable that raises how many pixels an image may have."""

_BLOCK = 64  # images decoded in one go by one thread
_OPAQUE = "white"  # behind transparent pixels: logos and drawings are made for paper

Held = TypeVar("Held")


@dataclass(frozen=True)
class Images:
    """The images of one part of a source, decoded when they are asked for.

    labels: (N,) int64.
    read: row -> image; whatever it raises makes the image a broken one.
    called: row -> what to call it in an error.
    """

    labels: NDArray[np.int64]
    read: Callable[[int], Image.Image]
    called: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: NDArray[np.int64]) -> Images:
        """Return the images of some rows, in their order."""
        return Images(
            self.labels[rows],
            lambda row: self.read(int(rows[row])),
            lambda row: self.called(int(rows[row])),
        )


@dataclass(frozen=True)
class Parts:
    """The parts of a source that a search may see.

    validation: None when the source brings none.
    mirror: see `Dataset`.
    """

    classes: tuple[str, ...]
    train: Images
    validation: Images | None = None
    mirror: bool = True


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
    said = getattr(error, "strerror", None) or str(error)
    return (said.strip() or type(error).__name__).splitlines()[0]


def decode_ahead(
    images: Images, size: Size, resize: Resize = "crop"
) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of (n, H, W, 3) in their order, decoded ahead by threads.

    resize: see `Reading`.
    Raises SpecError, which names the first image that cannot be read.
    """
    workers = usable_cores()
    with _pillow_as_needed(), ThreadPoolExecutor(max_workers=workers) as pool:
        ahead: deque[Future[NDArray[np.uint8]]] = deque()
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
def _pillow_as_needed() -> Iterator[None]:
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


def _block(images: Images, rows: range, size: Size, resize: Resize) -> NDArray[np.uint8]:
    return np.stack([_pixels(images, row, size, resize) for row in rows])


def _pixels(images: Images, row: int, size: Size, resize: Resize) -> NDArray[np.uint8]:
    try:
        with images.read(row) as image:
            return to_size(image, size, resize)
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


def to_size(image: Image.Image, size: Size, resize: Resize = "crop") -> NDArray[np.uint8]:
    """Return an image upright, RGB and of a size: (H, W, 3).

    resize: see `Reading`.
    Raises ValueError for pixels that are no colours.
    """
    # A JPEG far too large is decoded at 1/2, 1/4 or 1/8 of its side, which is much faster. It may
    # lie on its side.
    least = 2 * max(size.height, size.width)
    image.draft(None, (least, least))
    rgb = _rgb(upright(image))
    if rgb.size != (size.width, size.height):
        rgb = _RESIZED[resize](rgb, size)
    return np.asarray(rgb, dtype=np.uint8)


def _crop(image: Image.Image, size: Size) -> Image.Image:
    return ImageOps.fit(image, (size.width, size.height), _BILINEAR)


def _stretch(image: Image.Image, size: Size) -> Image.Image:
    return image.resize((size.width, size.height), _BILINEAR)


def _pad(image: Image.Image, size: Size) -> Image.Image:
    width, height = size.width, size.height
    if image.width * height >= image.height * width:
        height = max(1, round(width * image.height / image.width))
    else:
        width = max(1, round(height * image.width / image.height))
    padded = Image.new("RGB", (size.width, size.height))
    padded.paste(
        image.resize((width, height), _BILINEAR),
        ((size.width - width) // 2, (size.height - height) // 2),
    )
    return padded


_BILINEAR = Image.Resampling.BILINEAR
_RESIZED: dict[Resize, Callable[[Image.Image, Size], Image.Image]] = {
    "crop": _crop,
    "stretch": _stretch,
    "pad": _pad,
}


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as EXIF says; nothing else of it is read, and nothing written.

    Pillow's own function writes the rest of EXIF anew, which fails for many an odd header.
    """
    image.load()
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a header that cannot be read says nothing of sound pixels
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; 8 or 16 bits are read")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _OPAQUE), image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits of grey to 8; Pillow's own conversion would cut off all above 255."""
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its pixels have 32 bits; 8 or 16 are read")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
