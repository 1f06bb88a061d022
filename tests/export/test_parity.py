from __future__ import annotations

import numpy as np
import pytest

from nas.export.parity import AccuracyDrop, departs


def test_a_drop_is_paired_by_image() -> None:
    """Bonett and Price (2012): (b + 1, c + 1) of n + 2, worked by hand."""
    network = np.array([True] * 90 + [False] * 10)
    graph = network.copy()
    graph[:4] = False  # four lost
    graph[95] = True  # one gained
    drop = AccuracyDrop.of(network, graph)
    assert drop.mean == pytest.approx(0.03)
    middle, half_width = 3 / 102, 1.96 * np.sqrt((7 / 102 - (3 / 102) ** 2) / 102)
    assert (drop.low, drop.high) == pytest.approx((middle - half_width, middle + half_width))
    assert str(drop) == "3.0 points (95 %: -2.1 to 8.0)"


def test_no_loss_seen_is_not_no_loss() -> None:
    right = np.ones(100, dtype=bool)
    drop = AccuracyDrop.of(right, right)
    assert drop.mean == 0 and drop.low < 0 < drop.high
    wider = AccuracyDrop.of(right[:10], right[:10])
    assert wider.high > 5 * drop.high


@pytest.mark.parametrize(
    ("accuracy", "recorded", "images", "far"),
    [
        (0.18, 0.75, 512, True),
        (0.74, 0.75, 512, False),
        (1.0, 1.0, 512, False),
        (1.0, 0.99, 64, False),
        (0.75, None, 512, False),
    ],
)
def test_a_recorded_accuracy_is_compared_with_the_noise_of_images(
    accuracy: float, recorded: float | None, images: int, far: bool
) -> None:
    assert departs(accuracy, recorded, images) is far
