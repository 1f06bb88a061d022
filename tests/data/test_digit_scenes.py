"""Digits with known masks: equal everywhere, and no digit in two parts."""

from __future__ import annotations

import numpy as np
import torch

from nas.data import Reading, load_data, open_test
from nas.data.digit_scenes import draw_scenes

READING = Reading(annotated="masks")


def test_scenes_have_every_class_and_are_the_same_on_every_machine() -> None:
    data = load_data("digits", 64, validation=0.5, seed=7, annotated="masks")
    test = open_test("digits", 64, reading=READING)
    assert (len(data.train), len(data.validation), len(test)) == (1200, 300, 300)
    assert data.classes == ("background", *"0123456789") and not data.mirror
    for split in (data.train, data.validation, test):
        assert split.annotations is not None
        assert split.annotations.unique().tolist() == list(range(11))
        share = float((split.annotations > 0).float().mean())
        assert 0.05 < share < 0.3, "most is background, but not all"
    assert data.validation.annotations is not None
    assert int(data.validation.annotations.sum(dtype=torch.int64)) == MASKS
    assert int(data.validation.images.sum(dtype=torch.int64)) == PIXELS


MASKS = 1_327_391
PIXELS = 341_693_733


def test_masks_lie_on_the_ink_of_the_digit() -> None:
    digits = np.zeros((1, 8, 8))
    digits[0, 1:7, 3:5] = 16.0
    rng = np.random.default_rng(0)
    scenes, masks = draw_scenes(digits, np.array([7]), 20, rng)
    assert set(np.unique(masks)) == {0, 8}
    for scene, mask in zip(scenes, masks, strict=True):
        rows, columns = np.nonzero(mask)
        assert len(rows) > 30
        inks = np.unique(scene[rows, columns], axis=0)
        assert len(inks) <= 4 and (inks >= 120).all(), "one bright colour for each digit"


def test_classes_may_be_merged() -> None:
    classes = (("digit", tuple("0123456789")), ("ground", ("*",)))
    data = load_data("digits", 32, validation=0.5, seed=0, annotated="masks", classes=classes)
    assert data.classes == ("digit", "ground")
    assert data.train.targets.unique().tolist() == [0, 1]
