from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.training.tasks.rows import shuffled, together


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_rows_but_those_that_fill_no_batch_are_shuffled() -> None:
    rows = shuffled(10, 4, seeded(0))
    assert rows.tolist() == torch.randperm(10, generator=seeded(0))[:8].tolist()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 20), st.integers(0, 99))
def test_every_epoch_has_full_batches_of_the_split_alone(
    pictures: list[int], batch_size: int, seed: int
) -> None:
    labels = torch.repeat_interleave(torch.arange(len(pictures)) * 3 - 1, torch.tensor(pictures))
    batch_size = min(batch_size, len(labels))
    rows = together(labels, batch_size, seeded(seed))
    assert len(rows) == len(labels) // batch_size * batch_size
    assert torch.equal(rows, together(labels, batch_size, seeded(seed)))
    assert set(rows.tolist()) <= set(range(len(labels)))
    for batch in rows.split(batch_size):
        found = Counter(labels[batch].tolist()).values()
        assert max(found) - min(found) <= 1
        assert len(found) > 1 or len(pictures) == 1 or batch_size == 1


@pytest.fixture
def labels() -> Tensor:
    """Thirty identities of 4 to 33 pictures."""
    return torch.repeat_interleave(torch.arange(30), torch.arange(30) + 4)


def test_batches_hold_four_pictures_of_each_identity(labels: Tensor) -> None:
    for batch in together(labels, 32, seeded(0)).split(32):
        assert set(Counter(labels[batch].tolist()).values()) == {4}
        assert len(set(batch.tolist())) > 24  # but for what a last turn lacks, all are different


def test_processes_that_share_a_batch_have_whole_identities(labels: Tensor) -> None:
    batch = together(labels, 32, seeded(0))[:32]
    shares = [labels[batch[rank::2]].tolist() for rank in (0, 1)]
    assert set(Counter(shares[0]).values()) == {4} and not set(shares[0]) & set(shares[1])


def test_identities_come_by_how_many_pictures_they_have(labels: Tensor) -> None:
    seen = Counter[int]()
    for seed in range(20):
        seen.update(labels[together(labels, 32, seeded(seed))].tolist())
    few, many = (sum(seen[one] for one in part) for part in (range(10), range(20, 30)))
    assert 2 < many / few < 3.5  # 285 to 85 pictures, some of which come again
    rows = together(labels, 32, seeded(0))
    assert len(set(rows.tolist())) > 0.75 * len(labels)


def test_an_identity_with_fewer_pictures_repeats_them() -> None:
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2, 2, 2])
    for batch in together(labels, 8, seeded(1)).split(8):
        assert set(Counter(labels[batch].tolist()).values()) == {4}
