"""Masks that number objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data import Reading, load_data, original_boxes
from nas.data.instances import instances_of


def test_boxes_lie_around_objects_and_areas_are_their_pixels() -> None:
    numbers = np.zeros((6, 9), dtype=np.int64)
    numbers[1:3, 2:5], numbers[2, 2], numbers[5, 8], numbers[0, 0] = 3, 0, 1, 255
    found = instances_of(numbers, "cell")
    assert found.names == ("cell", "cell") and found.size == Size(6, 9)
    assert found.boxes.tolist() == [[8, 5, 9, 6], [2, 1, 5, 3]]
    assert found.areas is not None and found.areas.tolist() == [1, 5], "255 is an edge"
    nothing = instances_of(np.zeros((6, 9), dtype=np.int64), "cell")
    assert nothing.names == () and nothing.boxes.shape == (0, 4)


def test_300_objects_are_numbered_in_sixteen_bits(tmp_path: Path) -> None:
    for name in "ab":
        for folder in ("images", "instances"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "images" / f"{name}.png")
        numbers = np.arange(400, dtype=np.uint16).reshape(20, 20)
        Image.fromarray(numbers).save(tmp_path / "instances" / f"{name}.png")
    reading = Reading("stretch", annotated="boxes")
    _, boxes = original_boxes(f"folder:{tmp_path}", "validation", validation=0.5, reading=reading)[
        0
    ]
    assert boxes.shape == (399, 7) and boxes[254, :4].tolist() == [15, 12, 16, 13]


@pytest.mark.parametrize(
    ("image", "suffix", "said"),
    [
        (Image.new("RGB", (20, 20)), "png", "mask .*a.png cannot be read .its pixels are RGB; all"),
        (Image.new("L", (20, 20)), "jpg", "mask .*a.jpg cannot be read .JPEG changes numbers"),
        (Image.new("L", (20, 21)), "png", "objects of mask .* of 20x21 and .* is 20x20"),
    ],
)
def test_wrong_masks_are_named(tmp_path: Path, image: Any, suffix: str, said: str) -> None:
    for folder in ("images", "instances"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        Image.new("RGB", (20, 20)).save(tmp_path / "images" / f"{name}.png")
        image.putpixel((2, 2), 1 if image.mode == "L" else (1, 1, 1))
        image.save(tmp_path / "instances" / f"{name}.{suffix}")
    with pytest.raises(SpecError, match=said) as caught:
        load_data(f"folder:{tmp_path}", 20, validation=0.5, seed=0, annotated="boxes")
    assert "\n" not in str(caught.value)
