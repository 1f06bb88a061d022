"""Which pictures ask."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.data.identities import (
    NOBODY,
    cut_identities,
    judged,
    numbered_behind,
    taught,
    with_cameras,
)
from nas.data.images import Images


def images(labels: list[int], cameras: list[int]) -> Images:
    bare = Images(np.asarray(labels), lambda row: Image.new("L", (1, 1)), str)
    return with_cameras(bare, np.asarray(cameras))


@pytest.mark.parametrize(
    ("cameras", "asking"),
    [
        ([1, 1, 2, 2], [1, 0, 1, 0]),
        ([2, 1, 2, 1, 3], [1, 1, 0, 0, 1]),
        ([1, 2], [1, 0]),  # the second, too, would leave the first without an answer
        ([1, 1, 1], [0, 0, 0]),  # its own camera's pictures do not count
        ([1], [0]),
        ([-1, -1, -1], [1, 0, 0]),
        ([-1], [0]),
    ],
)
def test_each_that_asks_is_answered_by_another_camera(
    cameras: list[int], asking: list[int]
) -> None:
    others = [5, 6]  # an identity that can always ask, and one of nobody
    made = judged(images([0] * len(cameras) + [1, 1, NOBODY], [*cameras, *others, 1]), "x")
    assert made.annotations is not None
    assert made.annotations[: len(cameras), 1].tolist() == asking
    assert made.annotations[len(cameras) :, 1].tolist() == [1, 0, 0]


def test_nobody_asks_where_nobody_can() -> None:
    with pytest.raises(SpecError, match="no identity to validate or test on has two pictures"):
        judged(images([0, 0, 1], [1, 1, 2]), "x")


def test_numbers_are_without_gaps() -> None:
    assert numbered_behind(images([7, NOBODY, 3, 7], [1] * 4), 10).labels.tolist() == [
        11,
        -1,
        10,
        11,
    ]
    names, kept = taught(images([0, 1, 1, 2, 2], [1] * 5), ("a", "b", "c"), "x")
    assert (names, kept.labels.tolist()) == (("b", "c"), [0, 0, 1, 1])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_two_identities_at_least_are_on_either_side(share: float) -> None:
    made = images([number for number in range(6) for _ in range(2)], [-1] * 12)
    names, train, held = cut_identities(made, tuple("abcdef"), share, 0, "x")
    numbers = sorted({*held.labels.tolist()})
    assert 2 <= len(names) == len({*train.labels.tolist()}) <= 4
    assert numbers == list(range(len(names), 6))
