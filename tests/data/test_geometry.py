"""Where pixels come from, where masks go with them, and the way back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from nas.base.size import Size
from nas.data import boxes_back, clip_boxes, map_back
from nas.data.geometry import boxes_to_size, mask_to_size, to_size, turn_of, upright
from nas.data.reading import Resize

RESIZES: tuple[Resize, ...] = ("crop", "stretch", "pad")
SIZES = [(37, 53), (53, 37), (64, 64), (41, 160), (160, 41)]  # height, width
TARGETS = [Size(32, 32), Size(48, 24), Size(25, 31)]


def blocks(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Four quarters of unequal size, of classes 0, 50, 100 and 150."""
    rng = np.random.default_rng(seed)
    y, x = int(rng.integers(height // 3, height // 2)), int(rng.integers(width // 3, width // 2))
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y:] += 50
    mask[:, x:] += 100
    return mask


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("size", TARGETS)
def test_a_mask_moves_with_its_image(shape: tuple[int, int], size: Size, resize: Resize) -> None:
    """The image shows its own mask as grey: away from edges they must stay equal."""
    mask = blocks(*shape)
    pixels = to_size(Image.fromarray(mask), size, resize, exact=True)[..., 0].astype(int)
    moved = mask_to_size(mask, size, resize)
    counts = moved != 255
    flat = np.ones_like(counts)
    flat[1:-1, 1:-1] = False
    for axis in (0, 1):
        for step in (-1, 1):
            flat |= np.roll(moved, step, axis) != moved
    assert moved.shape == (size.height, size.width)
    assert (pixels[~flat & counts] == moved[~flat & counts]).all()
    # No edge is off by a pixel: classes cover what the image's brightness does.
    middle = np.where(counts, np.clip(np.round(pixels / 50) * 50, 0, 150), 255)
    assert (middle != moved).sum() <= 0.3 * flat.sum()
    if resize == "pad":
        assert (pixels[~counts] == 0).all()
    else:
        assert counts.all()


@pytest.mark.parametrize("resize", RESIZES)
def test_a_large_photo_that_is_decoded_smaller_stays_with_its_mask(resize: Resize) -> None:
    mask = blocks(501, 1001)
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=98)
    pixels = to_size(Image.open(file), Size(64, 64), resize, exact=True)[..., 0].astype(int)
    moved = mask_to_size(mask, Size(64, 64), resize)
    shown = moved != 255
    near = np.abs(np.where(shown, pixels - moved.astype(int), 0)) < 15
    assert near.mean() > 0.95
    assert (pixels[~shown] < 15).all()


def obvious(
    prediction: NDArray[np.int64], height: int, width: int, resize: Resize
) -> NDArray[np.int64]:
    """The slow twin: pixel by pixel, from the middle of each."""
    rows, columns = prediction.shape
    back = np.full((height, width), 255)
    for y in range(height):
        for x in range(width):
            if resize == "stretch":
                row, column = (y + 0.5) * rows / height, (x + 0.5) * columns / width
            elif resize == "crop":
                scale = min(height / rows, width / columns)
                row = (y + 0.5 - (height - rows * scale) / 2) / scale
                column = (x + 0.5 - (width - columns * scale) / 2) / scale
            else:
                tall, wide = rows, columns
                if width * rows >= height * columns:
                    tall = max(1, round(columns * height / width))
                else:
                    wide = max(1, round(rows * width / height))
                row = (rows - tall) // 2 + (y + 0.5) * tall / height
                column = (columns - wide) // 2 + (x + 0.5) * wide / width
            if 0 <= row < rows and 0 <= column < columns:
                back[y, x] = prediction[int(row), int(column)]
    return back


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("size", TARGETS)
def test_a_prediction_goes_back_as_its_slow_twin_says(
    shape: tuple[int, int], size: Size, resize: Resize
) -> None:
    prediction = np.random.default_rng(1).integers(0, 20, (size.height, size.width))
    back = map_back(prediction, shape, resize)
    assert back.dtype == prediction.dtype
    assert (back == obvious(prediction, *shape, resize)).mean() > 0.999, "but for ties of rounding"


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", SIZES)
def test_what_a_mask_says_at_network_size_comes_back_to_where_it_was(
    shape: tuple[int, int], resize: Resize
) -> None:
    mask = blocks(*shape)
    back = map_back(mask_to_size(mask, Size(96, 96), resize), Size(*shape), resize)
    seen = back != 255
    assert (back[seen] == mask[seen]).mean() > 0.93
    if resize == "crop":
        side = min(shape)
        assert abs(seen.sum() - side * side) <= 2 * side, "what was cut off is not told"
    else:
        assert seen.all()


def test_a_prediction_of_the_image_s_own_size_is_itself() -> None:
    prediction = np.random.default_rng(0).integers(0, 9, (31, 47), dtype=np.uint8)
    for resize in RESIZES:
        assert (map_back(prediction, (31, 47), resize) == prediction).all()
        assert (mask_to_size(prediction, Size(31, 47), resize) == prediction).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_ways_to_lie_are_turned_alike(orientation: int) -> None:
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, :8] = 200
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    with Image.open(file) as image:
        turn = turn_of(image)
        mask = Image.fromarray(pixels[..., 0])
        assert (
            np.asarray(upright(image))[..., 0]
            == np.asarray(mask if turn is None else mask.transpose(turn))
        ).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("size", TARGETS)
def test_a_box_moves_with_its_image_and_back(
    shape: tuple[int, int], size: Size, resize: Resize
) -> None:
    """It lies around what the mask of its object shows, to half a pixel at each edge."""
    height, width = shape
    edges = [width * 0.3, height * 0.25, width * 0.8, height * 0.9]
    left, top, right, bottom = (round(edge) for edge in edges)
    mask = np.zeros(shape, dtype=np.uint8)
    mask[top:bottom, left:right] = 1
    box = np.array([[left, top, right, bottom, 7.0]])
    moved = boxes_to_size(box, Size(*shape), size, resize)
    rows, columns = np.nonzero(mask_to_size(mask, size, resize) == 1)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert clip_boxes(moved, size)[0].tolist() == pytest.approx([*seen, 7], abs=0.51)
    np.testing.assert_allclose(boxes_back(moved, shape, size, resize), box)


def test_what_lies_beyond_an_edge_is_cut_off_and_objects_of_which_little_is_left() -> None:
    boxes = np.array(
        [[-5, 2, 5, 8], [-8, 0, 2, 1], [-9.1, 0, 0.9, 1], [30, 30, 40, 40], [1, 1, 1, 2]]
    )
    assert clip_boxes(boxes, Size(10, 20)).tolist() == [[0, 2, 5, 8], [0, 0, 2, 1]]
