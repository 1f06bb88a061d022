from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from nas.base.errors import MeasurementError
from nas.latency.design import choose


def test_the_choice_is_d_optimal_among_all_of_a_small_pool() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((12, 4))
    noise = 0.05 * (features**2).sum(axis=1).mean()

    def information(rows: tuple[int, ...]) -> float:
        part = features[list(rows)]
        return float(np.linalg.slogdet(part @ part.T + noise * np.eye(len(rows)))[1])

    best = max(combinations(range(12), 4), key=information)
    assert set(choose(features, 4, seed=0)) == set(best)


def test_the_choice_depends_on_seed_and_pool_alone() -> None:
    features = np.random.default_rng(0).standard_normal((5000, 20))
    first = choose(features, 12, seed=1)
    assert len(set(first)) == 12
    np.testing.assert_array_equal(first, choose(features.copy(), 12, seed=1))
    assert set(first) != set(choose(features, 12, seed=2))


def test_a_whole_pool_can_be_chosen_even_with_equal_networks() -> None:
    features = np.repeat(np.eye(2), 3, axis=0)
    assert sorted(choose(features, 6, seed=0)) == list(range(6))
    assert {row // 3 for row in choose(features, 2, seed=0)} == {0, 1}


@pytest.mark.parametrize("count", [0, 9])
def test_more_than_there_are_cannot_be_chosen(count: int) -> None:
    features = np.random.default_rng(0).standard_normal((8, 3))
    with pytest.raises(MeasurementError, match=f"{count} networks to be chosen from a pool of 8"):
        choose(features, count, seed=0)
