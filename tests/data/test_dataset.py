from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.base.errors import SpecError
from nas.data.dataset import Dataset, Split, split_rows, statistics, thinning


def dataset(counts: list[int]) -> Dataset:
    """One 2x2 image for each row, its pixels the row number; class c has counts[c] of them."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    rows = torch.arange(len(labels), dtype=torch.uint8)
    images = rows[:, None, None, None].expand(-1, 2, 2, 3).clone()
    held = Split(images[:2], labels[:2])
    grey = (128.0, 128.0, 128.0)
    return Dataset(
        Split(images, labels), held, ("a", "b", "c"), grey, grey, mirror=True, source="made"
    )


def test_the_cut_keeps_every_class_in_both_parts() -> None:
    labels = np.repeat(np.arange(3), [50, 10, 2])
    first, second = split_rows(labels, 0.8, seed=0)
    assert np.bincount(labels[first]).tolist() == [40, 8, 1]
    assert np.bincount(labels[second]).tolist() == [10, 2, 1]
    assert sorted([*first, *second]) == list(range(62))
    assert split_rows(labels, 0.8, seed=0)[0].tolist() == first.tolist()
    assert split_rows(labels, 0.8, seed=1)[0].tolist() != first.tolist()


@given(
    counts=st.lists(st.integers(2, 30), min_size=2, max_size=5),
    share=st.floats(0.01, 0.99),
)
def test_classes_of_few_images_are_in_both_parts_by_their_shares(
    counts: list[int], share: float
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    first, second = (np.bincount(labels[rows]) for rows in split_rows(labels, share, seed=0))
    assert (first >= 1).all() and (second >= 1).all()
    assert (first + second).tolist() == counts
    free = (first > 1) & (second > 1)
    assert (abs(first - share * np.array(counts))[free] <= 0.5).all()


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=5),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 9),
)
def test_every_beginning_of_a_thinning_is_in_proportion(
    counts: list[int], share: float, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    order = thinning(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    assert set(labels[order[: len(counts)]]) == set(range(len(counts)))
    kept = max(len(counts), round(share * len(labels)))
    found = np.bincount(labels[order[:kept]], minlength=len(counts))
    wanted = np.asarray(counts) * kept / len(labels)
    # Classes of less than one image in proportion have one all the same, at the others' cost.
    assert (found <= np.ceil(wanted) + 1).all()
    assert (found >= np.floor(wanted) - len(counts)).all()


def test_a_subset_thins_out_training_alone() -> None:
    data = dataset([20, 10, 2])
    some = data.subset(16, seed=0)
    assert torch.bincount(some.train.labels).tolist() == [10, 5, 1]
    assert some.train.images.shape == (16, 2, 2, 3)
    rows = some.train.images[:, 0, 0, 0].long()
    assert torch.equal(data.train.labels[rows], some.train.labels)
    assert (some.validation, some.mean, some.classes) == (data.validation, data.mean, data.classes)
    assert torch.equal(data.subset(16, seed=0).train.images, some.train.images)
    assert not torch.equal(data.subset(16, seed=1).train.images, some.train.images)


def test_a_smaller_subset_is_part_of_a_larger_one() -> None:
    data = dataset([20, 10, 2])
    rows = [
        set(data.subset(count, seed=3).train.images[:, 0, 0, 0].tolist()) for count in range(3, 33)
    ]
    assert [len(some) for some in rows] == list(range(3, 33))
    assert all(small < large for small, large in zip(rows, rows[1:], strict=False))
    assert data.subset(32, seed=3) is data


@pytest.mark.parametrize("images", [0, 2, 33, -1])
def test_a_subset_that_cannot_be_is_named(images: int) -> None:
    with pytest.raises(SpecError, match=rf"subset of {images} .* 3 \(one of each class\) to 32"):
        dataset([20, 10, 2]).subset(images, seed=0)


def test_imbalance_is_of_the_classes_that_have_images() -> None:
    assert dataset([20, 0, 5]).imbalance == 4.0


def test_statistics_equal_the_obvious_ones() -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 5, 4, 3)).astype(np.uint8)
    images[..., 2] = 7  # no spread at all: at least 1, so that nothing is divided by zero
    mean, std = statistics(images)
    pixels = images.reshape(-1, 3).astype(np.float64)
    assert mean == pytest.approx(pixels.mean(axis=0))
    assert std == pytest.approx(np.maximum(pixels.std(axis=0), 1.0))
    many = np.repeat(images, 300, axis=0)  # every second image is judged
    assert statistics(many)[0] == pytest.approx(mean)


def test_so_many_of_each_class_come_first() -> None:
    labels = np.repeat([0, 1, 2], [50, 3, 2])
    order = thinning(labels, seed=0, least=2)
    assert np.bincount(labels[order[:6]]).tolist() == [2, 2, 2]
    assert sorted(order) == list(range(55))
