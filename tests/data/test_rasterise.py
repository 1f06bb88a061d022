"""Areas of annotations, as pycocotools 2.0.11 draws them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from nas.data.rasterise import area_of

# Polygon, run lengths that pycocotools packs of it, and its pixels: 7 high, 9 wide.
DRAWN: list[tuple[list[float], str, list[str]]] = [
    (
        [1, 1, 6, 1, 6, 5, 1, 5],
        "8430000000d0",
        [".........", *[".#####..."] * 4, ".........", "........."],
    ),
    (
        [0.5, 0.2, 8.7, 3.1, 4.4, 6.9, 2.2, 4.0],
        "7261N2O0OO1O2N5",
        [".#.......", ".###.....", "..#####..", "..######.", "...####..", "...###...", "....#...."],
    ),
    (
        [-3, -2, 5, 3, 12, 1, 4, 9],
        "0351N2OO1O000O001OO",
        ["#........", "###......", "####...##", ".########", ".#######.", "..#####..", "..####..."],
    ),
]


def pixels(area: np.ndarray) -> list[str]:
    return ["".join(".#"[int(inside)] for inside in row) for row in area]


@pytest.mark.parametrize(("polygon", "packed", "drawn"), DRAWN)
def test_polygons_and_run_lengths_are_drawn_as_pycocotools_does(
    polygon: list[float], packed: str, drawn: list[str]
) -> None:
    assert pixels(area_of([polygon], 7, 9)) == drawn
    assert pixels(area_of({"size": [7, 9], "counts": packed}, 7, 9)) == drawn


def test_parts_are_joined_and_plain_run_lengths_go_down_columns() -> None:
    one, two = DRAWN[0][0], DRAWN[1][0]
    both = area_of([one], 7, 9) | area_of([two], 7, 9)
    assert (area_of([one, two], 7, 9) == both).all()
    assert pixels(area_of({"size": [2, 3], "counts": [1, 2, 3]}, 2, 3)) == [".#.", "#.."]
    assert not area_of([], 2, 3).any()


def test_random_polygons_are_as_pycocotools_drew_them() -> None:
    """The digest is of its masks."""
    rng, digest = np.random.default_rng(0), hashlib.sha256()
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(3, 60, 2))
        polygon = rng.integers(-80, 700, 2 * int(rng.integers(3, 9))) / 10
        digest.update(np.packbits(area_of([polygon.tolist()], height, width)).tobytes())
    assert digest.hexdigest()[:16] == "46d2b5a7a6e53d4c"


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (None, "neither polygons nor run lengths"),
        ([[1, 2, 3, 4]], "no list of three or more points"),
        ([[1, 2, 3, 4, 5]], "no list of three or more points"),
        ([["a"] * 6], "no list of three or more points"),
        ([[float("nan")] * 6], "no list of three or more points"),
        ([[1e12] * 6], "far outside"),
        ({"size": [2, 2], "counts": [6]}, r"of size \[2, 2\], and its image of 2, 3"),
        ({"size": [2, 3], "counts": [5]}, "are 5 pixels of 6"),
        ({"size": [2, 3], "counts": [-1, 7]}, "no whole numbers"),
        ({"size": [2, 3], "counts": "\x00"}, "packed in an unknown way"),
        ({"size": [2, 3], "counts": "o" * 1_000_000}, "packed in an unknown way"),
        ({}, "of size None"),
    ],
)
def test_wrong_areas_are_refused(segmentation: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        area_of(segmentation, 2, 3)
