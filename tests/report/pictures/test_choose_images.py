from __future__ import annotations

import numpy as np

from nas.report.pictures.choose_images import choose_images


def test_as_many_kinds_as_there_are_and_the_same_images_each_time() -> None:
    rows = np.arange(100, 140)
    kinds = np.array([0] * 30 + [1] * 6 + [2] * 4)
    six = choose_images(rows, kinds, 6)
    assert sorted(kinds[six - 100]) == [0, 0, 1, 1, 2, 2]
    assert len(set(six[:3].tolist())) == 3 and len(set(kinds[six[:3] - 100])) == 3
    assert choose_images(rows, kinds, 4).tolist() == six[:4].tolist(), "fewer begin more"


def test_of_few_images_all_are_shown() -> None:
    rows = np.array([7, 3])
    assert sorted(choose_images(rows, np.array([1, 1]), 6)) == [3, 7]
    assert choose_images(rows[:0], rows[:0], 6).tolist() == []
