"""How images become of one size, masks with them, and what is found on them goes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from nas.base.size import Size
from nas.data.reading import Resize

__all__ = ["IGNORED", "map_back", "mask_to_size", "to_size", "turn_of", "upright"]

IGNORED = 255
"""The class number of pixels that do not count."""

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
