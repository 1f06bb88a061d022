from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from nas.belief.ranks import correlation_interval, rank_correlation


@pytest.mark.parametrize("values", [3, 5, 1000])
@pytest.mark.parametrize("count", [3, 8, 40])
def test_it_is_scipys_with_and_without_ties(values: int, count: int) -> None:
    rng = np.random.default_rng(values * count)
    for _ in range(20):
        one = rng.integers(values, size=count).astype(float)
        two = one + rng.integers(values, size=count)
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            assert rank_correlation(one, two) == pytest.approx(
                float(spearmanr(one, two).statistic), abs=1e-12
            )


def test_hand_worked_ties_share_their_ranks() -> None:
    # Ranks 1.5 1.5 3 against 1 2 3: covariance 0.75, variances 0.75 and 1.
    ranks = rank_correlation(np.array([7.0, 7.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    assert ranks == pytest.approx(0.75 / math.sqrt(0.75))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
        ([1.0, math.nan, 3.0], [1.0, 2.0, 3.0]),
    ],
)
def test_what_has_no_order_has_no_correlation(one: list[float], two: list[float]) -> None:
    assert math.isnan(rank_correlation(np.array(one), np.array(two)))


def test_the_interval_is_fishers() -> None:
    # Of 0.5 and 19 networks: atanh(0.5) = 0.5493, give or take 1.96 * sqrt(1.125 / 16) = 0.5197.
    low, high = correlation_interval(0.5, 19)
    assert low == pytest.approx(math.tanh(0.0296), abs=1e-4)
    assert high == pytest.approx(math.tanh(1.0690), abs=1e-4)
    assert correlation_interval(1.0, 10)[1] <= 1.0
