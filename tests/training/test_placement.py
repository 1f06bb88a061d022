from __future__ import annotations

import pytest
import torch
from support import tiny_network

from nas.data import Dataset
from nas.training.placement import free_memory, gathered, placed, sent

CPU, FAKE = torch.device("cpu"), torch.device("meta")
IMAGE = tiny_network.SIDE**2 * 3
TRAIN, VALIDATION = 96 * IMAGE, 72 * IMAGE


def kinds(data: Dataset) -> tuple[str, str]:
    return data.train.images.device.type, data.validation.images.device.type


@pytest.mark.parametrize(
    "free, total, found",
    [
        (20 * TRAIN, 20 * TRAIN, ("meta", "meta")),
        (10 * TRAIN, 10 * TRAIN, ("meta", "cpu")),  # a tenth is full of training images
        (10 * TRAIN - 10, 10 * TRAIN - 10, ("cpu", "meta")),
        (2 * TRAIN, 100 * TRAIN, ("meta", "cpu")),  # half of what is free
        (2 * VALIDATION - 2, 100 * TRAIN, ("cpu", "cpu")),
        (0, 100 * TRAIN, ("cpu", "cpu")),
    ],
)
def test_images_go_to_a_device_as_far_as_they_fit(
    free: int, total: int, found: tuple[str, str]
) -> None:
    data = tiny_network.data()
    there = placed(data, FAKE, memory=(free, total))
    assert kinds(there) == found
    assert there.train.labels is data.train.labels  # stay where they are read


def test_nothing_moves_where_there_is_no_other_memory() -> None:
    data = tiny_network.data()
    assert placed(data, CPU) is data
    assert free_memory(FAKE) is None and placed(data, FAKE) is data


def test_rows_are_gathered_wherever_images_lie() -> None:
    split, rows = tiny_network.data().train, torch.tensor([5, 2, 5])
    assert torch.equal(gathered(split, rows, CPU), split.images[rows])
    on_fake = placed(tiny_network.data(), FAKE, memory=(2**40, 2**40)).train
    assert gathered(on_fake, rows, FAKE).shape == (3, 16, 16, 3)
    assert sent(rows, FAKE).device == FAKE and sent(rows, CPU) is rows
