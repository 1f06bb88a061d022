"""Digits with known boxes: equal everywhere, and no digit in two parts."""

from __future__ import annotations

import numpy as np
import torch

from nas.data import Reading, load_data, open_test
from nas.data.digit_boxes import draw_boxes

READING = Reading("stretch", annotated="boxes")


def test_scenes_have_every_class_and_are_the_same_on_every_machine() -> None:
    data = load_data("digits", 64, validation=0.5, seed=7, resize="stretch", annotated="boxes")
    test = open_test("digits", 64, reading=READING)
    assert (len(data.train), len(data.validation), len(test)) == (800, 200, 200)
    assert data.classes == tuple("0123456789") and not data.mirror
    assert 1 < data.imbalance < 1.5
    for split in (data.train, data.validation, test):
        assert split.annotations is not None and split.annotations.dtype == torch.float32
        assert split.annotations.shape == (len(split), 3, 6)
        assert split.annotations[..., 4].unique().tolist() == [-1, *range(10)]
        assert len(split.labels.unique()) == 10
    assert data.validation.annotations is not None
    assert int(data.validation.annotations.sum()) == BOXES
    assert int(data.validation.images.sum(dtype=torch.int64)) == PIXELS


BOXES = 41_328
PIXELS = 205_831_059


def test_boxes_lie_around_the_ink_of_digits() -> None:
    digits = np.zeros((1, 8, 8))
    digits[0, 1:7, 3:5] = 16.0
    scenes, objects = draw_boxes(digits, np.array([7]), 20, np.random.default_rng(0))
    assert {len(one.names) for one in objects} == {1, 2, 3}
    for scene, one in zip(scenes, objects, strict=True):
        assert set(one.names) == {"7"}
        for left, top, right, bottom in one.boxes.astype(int):
            colour = scene[(top + bottom) // 2, (left + right) // 2]
            rows, columns = np.nonzero((scene == colour).all(axis=2))
            assert colour.min() >= 120
            assert (rows.min(), rows.max() + 1) == (top, bottom)
            assert (columns.min(), columns.max() + 1) == (left, right)


def test_classes_may_be_merged_and_images_without_them_stay() -> None:
    classes = (("one", ("1",)), ("high", ("7", "8", "9")))
    data = load_data("digits", 32, validation=0.5, seed=0, annotated="boxes", classes=classes)
    assert data.classes == ("one", "high")
    assert data.train.targets[..., 4].unique().tolist() == [-1, 0, 1]
    assert data.train.labels.unique().tolist() == [0, 1, 2], "the last: none of them"
    assert len(data.train) == 800 and data.train.targets[..., :4].max() <= 32
