from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nas.data import Dataset, load_data
from nas.training.batches import Batches, _shifts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("digits", 32, validation=0.2, seed=0)


def test_batches_are_normalised_and_channels_last(data: Dataset) -> None:
    batches = Batches(data, CPU)
    images = batches.plain(data.train, slice(0, 1000))
    assert images.shape[1:] == (3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert abs(float(images.mean())) < 0.05
    assert abs(float(images.std()) - 1) < 0.05


def test_augmentation_shifts_by_an_eighth_and_mirrors_only_where_it_may(data: Dataset) -> None:
    """Every image is a column ramp, so its first row tells shift and direction."""
    ramp = torch.arange(32, dtype=torch.uint8).repeat(64, 32, 1)[..., None].expand(64, 32, 32, 3)
    split = replace(data.train, images=ramp.contiguous(), labels=torch.zeros(64, dtype=torch.long))
    generator = torch.Generator().manual_seed(0)
    plain = replace(data, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for mirror in (False, True):
        batches = Batches(replace(plain, mirror=mirror), CPU)
        middle = batches.augmented(split, torch.arange(64), generator)[:, 0, 0, 8:24]
        steps = middle.diff(dim=1)
        rising, falling = (steps == 1).all(dim=1), (steps == -1).all(dim=1)
        assert (rising | falling).all()
        assert bool(falling.any()) == mirror
        assert (middle[rising][:, 0] - 8).abs().max() == 4


def test_batches_are_the_same_wherever_they_are_cut(data: Dataset) -> None:
    batches, rows = Batches(data, CPU), torch.tensor([5, 0, 5, 9])
    here = batches.augmented(data.train, rows, torch.Generator().manual_seed(1))
    batches.gather_on_device = True
    there = batches.augmented(data.train, rows, torch.Generator().manual_seed(1))
    assert torch.equal(here, there)


def test_images_that_are_not_square_are_shifted_by_an_eighth_of_each_side(data: Dataset) -> None:
    """Every pixel tells its line in the first channel, and its column in the second."""
    lines = torch.arange(16, dtype=torch.uint8)[:, None].expand(16, 40)
    columns = torch.arange(40, dtype=torch.uint8).expand(16, 40)
    image = torch.stack([lines, columns, columns], dim=2)
    split = replace(data.train, images=image.repeat(200, 1, 1, 1), labels=torch.zeros(200))
    plain = replace(data, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), mirror=False)
    generator = torch.Generator().manual_seed(0)
    images = Batches(plain, CPU).augmented(split, torch.arange(200), generator)
    assert images.shape == (200, 3, 16, 40)
    assert set((images[:, 0, 8, 20] - 8).int().tolist()) == set(range(-2, 3))
    assert set((images[:, 1, 8, 20] - 20).int().tolist()) == set(range(-5, 6))


def test_squares_are_shifted_as_they_always_were() -> None:
    one, other = (torch.Generator().manual_seed(7) for _ in range(2))
    down, right = torch.randint(-4, 5, (2, 1000, 1), generator=one)
    assert torch.equal(_shifts(1000, 32, other), down)
    assert torch.equal(_shifts(1000, 32, other), right)
    assert torch.equal(torch.rand(5, generator=one), torch.rand(5, generator=other))
