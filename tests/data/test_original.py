"""Masks at the size of their images, in the order of the split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data import Reading, load_data, map_back, open_test, original_masks
from nas.data.geometry import mask_to_size
from nas.data.reading import Resize


@pytest.fixture
def sizes(tmp_path: Path, draw_pairs: Callable[..., None]) -> Path:
    root = tmp_path / "sizes"
    for number, size in enumerate([(31, 17), (20, 45), (64, 64), (33, 70), (12, 90), (50, 21)]):
        drawn = {f"{number}": [0, 1, 2, 255][: 2 + number % 3]}
        draw_pairs(root / "images", root / "masks", drawn, size=size)
    (root / "test.txt").write_text("4\n5\n")
    return root


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_rows_are_those_of_the_split(sizes: Path, resize: Resize) -> None:
    reading, source = Reading(resize, annotated="masks"), f"folder:{sizes}"
    data = load_data(source, 24, validation=0.5, seed=3, resize=resize, annotated="masks")
    held = original_masks(source, "validation", validation=0.5, seed=3, reading=reading)
    test = original_masks(source, "test", reading=reading)
    splits = ((held, data.validation), (test, open_test(source, 24, reading=reading)))
    for masks, split in splits:
        assert len(masks) == len(split) > 1
        for mask, small in zip(masks, split.targets.numpy(), strict=True):
            assert (mask_to_size(mask, Size(24, 24), resize) == small).all()
            back = map_back(small, (mask.shape[0], mask.shape[1]), resize)
            assert back.shape == mask.shape
            counts = back != 255
            assert (back[counts] == mask[counts]).mean() > 0.85
    assert [mask.shape for mask in test] == [(90, 12), (21, 50)]
    with pytest.raises(IndexError):
        held[len(held)]


def test_merged_classes_are_merged_here_too(sizes: Path) -> None:
    reading = Reading("stretch", annotated="masks", classes=(("a", ("1",)), ("b", ("0",))))
    held = original_masks(f"folder:{sizes}", "test", reading=reading)
    assert set(np.unique(held[0])) == {0, 1, 255}, "class 2 is in none"


def test_what_has_no_masks_is_said() -> None:
    with pytest.raises(SpecError, match="is read with labels, and has no masks then"):
        original_masks("digits", "test", reading=Reading())
