"""How images become of one size, masks and boxes with them, and what is found goes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from nas.base.size import Size
from nas.data.reading import Resize

__all__ = [
    "IGNORED",
    "ON_ITS_SIDE",
    "boxes_back",
    "boxes_to_size",
    "clip_boxes",
    "map_back",
    "mask_to_size",
    "to_size",
    "turn_boxes",
    "turn_of",
    "upright",
]

IGNORED = 255
"""The class number of pixels that do not count."""

_LEAST_LEFT = 0.1
"""The share of a box that must lie in an image, for the object to be in it."""

_OPAQUE = "white"  # behind transparent pixels: logos and drawings are made for paper

Number = TypeVar("Number", bound=np.generic)
Length = TypeVar("Length", int, float)


def to_size(
    image: Image.Image, size: Size, resize: Resize = "crop", *, exact: bool = False
) -> NDArray[np.uint8]:
    """Return an image upright, RGB and of a size: (H, W, 3).

    resize: see `Reading`.
    exact: whether it lies to the pixel where a mask of its own size does.
    Raises ValueError for pixels that are no colours.
    """
    # A JPEG far too large is decoded at 1/2, 1/4 or 1/8 of its side, which is much faster. It may
    # lie on its side. Its sides are rounded then, by which the bars of `pad` may be one pixel off.
    if not (exact and resize == "pad"):
        least = 2 * max(size.height, size.width)
        image.draft(None, (least, least))
    rgb = _rgb(upright(image))
    if rgb.size != (size.width, size.height):
        rgb = _RESIZED[resize](rgb, size, _BILINEAR, 0)
    return np.asarray(rgb, dtype=np.uint8)


def mask_to_size(mask: NDArray[np.uint8], size: Size, resize: Resize = "crop") -> NDArray[np.uint8]:
    """Return a mask as `to_size` returns its upright image, by nearest neighbour: (H, W).

    mask: class numbers, (height, width) of the image; between bars nothing counts.
    """
    if mask.shape == (size.height, size.width):
        return mask
    nearest = _RESIZED[resize](Image.fromarray(mask), size, _NEAREST, IGNORED)
    return np.asarray(nearest, dtype=np.uint8)


def _crop(image: Image.Image, size: Size, by: Image.Resampling, _bars: int) -> Image.Image:
    return ImageOps.fit(image, (size.width, size.height), by)


def _stretch(image: Image.Image, size: Size, by: Image.Resampling, _bars: int) -> Image.Image:
    return image.resize((size.width, size.height), by)


def _pad(image: Image.Image, size: Size, by: Image.Resampling, bars: int) -> Image.Image:
    place = _between_bars(Size(image.height, image.width), size)
    padded = Image.new(image.mode, (size.width, size.height), (bars,) * len(image.getbands()))
    padded.paste(image.resize((place.width, place.height), by), (place.left, place.top))
    return padded


_BILINEAR, _NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
_RESIZED: dict[Resize, Callable[[Image.Image, Size, Image.Resampling, int], Image.Image]] = {
    "crop": _crop,
    "stretch": _stretch,
    "pad": _pad,
}


@dataclass(frozen=True, slots=True)
class _Place(Generic[Length]):
    """A rectangle of an image, pixels."""

    top: Length
    left: Length
    height: Length
    width: Length


def _between_bars(original: Size, size: Size) -> _Place[int]:
    """Return where `pad` lays an image."""
    height, width = size.height, size.width
    if original.width * height >= original.height * width:
        height = max(1, round(width * original.height / original.width))
    else:
        width = max(1, round(height * original.width / original.height))
    return _Place((size.height - height) // 2, (size.width - width) // 2, height, width)


def _cut(original: Size, size: Size) -> _Place[float]:
    """Return the part of an image that `crop` keeps."""
    height, width = float(original.height), float(original.width)
    if original.width * size.height >= original.height * size.width:
        width = height * size.width / size.height
    else:
        height = width * size.height / size.width
    return _Place((original.height - height) / 2, (original.width - width) / 2, height, width)


def map_back(
    prediction: NDArray[Number], original: Size | tuple[int, int], resize: Resize
) -> NDArray[Number]:
    """Return what a prediction for a resized image says of the image before: (height, width).

    prediction: (H, W) class numbers at a network's size, which can be 255.
    original: height and width of the upright image.
    resize: how it was resized. What `crop` cut off is 255, "not told": no class, and so wrong
        wherever the mask counts. Bars of `pad` are left out.
    """
    original = Size.of(original)
    size = Size(*prediction.shape)
    if resize == "pad":
        at = _between_bars(original, size)
        prediction = prediction[at.top : at.top + at.height, at.left : at.left + at.width]
    seen = _cut(original, size) if resize == "crop" else _whole(original)
    rows = _nearest(original.height, seen.top, seen.height, prediction.shape[0])
    columns = _nearest(original.width, seen.left, seen.width, prediction.shape[1])
    back: NDArray[Number] = prediction[rows][:, columns].copy()
    back[rows < 0] = IGNORED
    back[:, columns < 0] = IGNORED
    return back


def boxes_to_size(
    boxes: NDArray[np.float64], original: Size, size: Size, resize: Resize
) -> NDArray[np.float64]:
    """Return boxes where `to_size` brings what is in them; they may lie beyond its edges.

    boxes: (M, 4 or more): x1, y1, x2, y2 in pixels of the upright image, from its outer edges, and
        what stays as it is.
    original: of the upright image.
    """
    scale, start = _moved(original, size, resize)
    moved = boxes.copy()
    moved[:, :4] = boxes[:, :4] * (scale + scale) + (start + start)
    return moved


def boxes_back(
    boxes: NDArray[np.float64], original: Size | tuple[int, int], size: Size, resize: Resize
) -> NDArray[np.float64]:
    """Return where boxes found in a resized image lie in the image before, cut at its edges.

    boxes: as of `boxes_to_size`.
    original: height and width of the upright image.
    size: of the resized one.
    """
    original = Size.of(original)
    scale, start = _moved(original, size, resize)
    edge = (original.width, original.height)
    back = boxes.copy()
    back[:, :4] = ((boxes[:, :4] - (start + start)) / (scale + scale)).clip(0, edge + edge)
    return back


def _moved(
    original: Size, size: Size, resize: Resize
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return by what resizing multiplies x and y, and what it adds to them."""
    if resize == "pad":
        at = _between_bars(original, size)
        return (at.width / original.width, at.height / original.height), (at.left, at.top)
    seen = _cut(original, size) if resize == "crop" else _whole(original)
    x, y = size.width / seen.width, size.height / seen.height
    return (x, y), (-seen.left * x, -seen.top * y)


def clip_boxes(boxes: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    """Return the boxes that lie in an image, without what lies beyond its edges.

    One of which less than a tenth lies in it is left out.

    boxes: (M, 4 or more), as of `boxes_to_size`.
    """
    clipped = boxes.copy()
    edge = (size.width, size.height)
    clipped[:, :4] = boxes[:, :4].clip(0, edge + edge)
    before, after = _areas(boxes), _areas(clipped)
    return clipped[(after > 0) & (after >= _LEAST_LEFT * before)]


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def turn_boxes(
    boxes: NDArray[np.float64], stored: Size, turn: Image.Transpose
) -> NDArray[np.float64]:
    """Return boxes of a stored image where they lie on it when it is turned.

    boxes: (M, 4 or more), as of `boxes_to_size`.
    """
    turned = boxes.copy()
    x, y = boxes[:, [0, 2]], boxes[:, [1, 3]]
    if turn in _MIRRORED_ACROSS:
        x = stored.width - x
    if turn in _MIRRORED_DOWN:
        y = stored.height - y
    if turn in ON_ITS_SIDE:
        x, y = y, x
    turned[:, [0, 2]], turned[:, [1, 3]] = np.sort(x, axis=1), np.sort(y, axis=1)
    return turned


def _whole(original: Size) -> _Place[float]:
    return _Place(0.0, 0.0, float(original.height), float(original.width))


def _nearest(pixels: int, start: float, length: float, cells: int) -> NDArray[np.int64]:
    """Return for each pixel of a side the cell that its middle lies in, -1 where in none."""
    at = np.floor((np.arange(pixels) + 0.5 - start) * (cells / length)).astype(np.int64)
    return np.where((at >= 0) & (at < cells), at, -1)


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as EXIF says; nothing else of it is read, and nothing written.

    Pillow's own function writes the rest of EXIF anew, which fails for many an odd header.
    """
    image.load()
    turn = turn_of(image)
    return image if turn is None else image.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return how an image must be turned to be upright; None: not at all."""
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a header that cannot be read says nothing of sound pixels
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


ON_ITS_SIDE = frozenset({
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
})  # fmt: skip
"""The turns by which width and height change places, after the image is mirrored as below."""

_MIRRORED_ACROSS = frozenset({
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
})  # fmt: skip
_MIRRORED_DOWN = frozenset({
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
})  # fmt: skip


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
