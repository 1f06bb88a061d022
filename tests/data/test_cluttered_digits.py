"""Translated digits in clutter: made anew everywhere, equal, and no digit in two parts."""

from __future__ import annotations

import numpy as np
import torch

from nas.data import load_data, open_test
from nas.data.cluttered_digits import Clutter, draw_canvases, part_digits
from nas.data.kinds import source_to_search, source_to_test

RNG = np.random.default_rng
MARKED = np.full((1, 8, 8), 16.0), np.array([3])


def test_the_marked_digit_stands_whole_beside_its_mark() -> None:
    pixels, labels = draw_canvases(*MARKED, 40, RNG(0), Clutter(others=0, pieces=0))
    assert pixels.shape == (40, 16, 16) and pixels.dtype == np.uint8 and (labels == 3).all()
    places = set()
    for canvas in pixels:
        marked, digit = np.argwhere(canvas[:, :3]), np.argwhere(canvas[:, 3:])
        assert len(marked) == 2 * 3 and len(digit) == 64
        assert marked[:, 0].mean() == digit[:, 0].mean(), "the mark is in the middle of its rows"
        places.add(tuple(digit[0]))
    assert len(places) > 10, "the digit stands in many places"


def test_other_digits_stay_away_from_the_rows_of_the_marked_one() -> None:
    """Rows of the marked digit are bright, those of the others dim."""
    digits = np.stack([np.full((8, 8), 16.0), np.full((8, 8), 4.0)])
    pixels, labels = draw_canvases(digits, np.array([1, 0]), 60, RNG(0), Clutter(pieces=0))
    distances = []
    for canvas in pixels[labels == 1]:
        tops = [np.argwhere((canvas[:, 3:] == level).any(axis=1)) for level in (255, 64)]
        if len(tops[1]):
            ends = tops[1].min(), tops[1].max()
            distances.append(max(tops[0].min() - ends[0], ends[1] - tops[0].max()))
    assert len(distances) > 5 and min(distances) >= 5


def test_pieces_cover_no_brighter_pixel_and_leave_the_margin() -> None:
    pixels, _ = draw_canvases(
        np.full((1, 8, 8), 8.0), np.array([0]), 30, RNG(1), Clutter(others=0, pieces=2)
    )
    lit = (pixels[:, :, 3:] > 0).sum(axis=(1, 2))
    assert set(np.unique(pixels[:, :, 3:])) == {0, 128}
    assert lit.min() >= 64 and lit.max() <= 64 + 2 * 16 and lit.mean() > 64
    assert ((pixels[:, :, :3] > 0).sum(axis=(1, 2)) == 6).all()


def test_equal_generators_draw_equal_canvases_and_every_digit_as_often() -> None:
    digits, labels = RNG(5).uniform(0, 16, (6, 8, 8)), np.arange(6)
    (one, marked), (two, _), (other, _) = (
        draw_canvases(digits, labels, 12, RNG(seed), Clutter()) for seed in (0, 0, 1)
    )
    assert (one == two).all() and (one != other).any()
    assert sorted(marked) == sorted([*labels, *labels])


def test_the_parts_hold_every_class_and_share_no_digit() -> None:
    kept = [
        {image.tobytes() for image in part_digits(part)[0]}
        for part in ("train", "validation", "test")
    ]
    assert sum(len(part_digits(part)[0]) for part in ("train", "validation", "test")) == 1797
    assert not kept[0] & kept[1] and not (kept[0] | kept[1]) & kept[2]
    data = load_data("cluttered-digits", 16, validation=0.5, seed=7)
    test = open_test("cluttered-digits", 16)
    assert (len(data.train), len(data.validation), len(test)) == (4000, 2000, 2000)
    assert not data.mirror and data.classes == tuple("0123456789")
    for split in (data.train, data.validation, test):
        assert torch.bincount(split.labels, minlength=10).min() > 0.07 * len(split)


def test_the_canvases_are_the_same_on_every_machine() -> None:
    """A search elsewhere, or later, is on the same images; whoever draws otherwise says so."""
    split = load_data("cluttered-digits", 16, validation=0.5, seed=0).validation
    assert int(split.images.sum(dtype=torch.int64)) == 72_841_461
    assert source_to_search("cluttered-digits").content.endswith(" 1")
    assert source_to_test("cluttered-digits").content.endswith(" 1 test")
