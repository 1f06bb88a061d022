from __future__ import annotations

import numpy as np
import pytest

from nas.belief.claims import (
    beats,
    cheapest_within,
    interval,
    non_inferior,
    nowhere,
    probability_best,
    probability_on_front,
)

# Four equally probable states of three networks.
FOUR = np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [1.0, 3.0, 0.0], [1.0, 1.0, 0.0]])


def test_the_best_by_hand_and_ties_share() -> None:
    # Network 1 is the best in two states and ties with 0 in one; 0 is the best in the other.
    assert probability_best(FOUR).tolist() == [0.375, 0.625, 0.0]
    assert probability_best(FOUR, np.array([True, False, True])).tolist() == [1.0, 0.0, 0.0]


def test_the_front_by_hand() -> None:
    # The cheapest is always on it, and a dearer one where it is no worse than all below.
    assert probability_on_front(FOUR, np.array([1.0, 2.0, 0.5])).tolist() == [1.0, 0.75, 1.0]
    assert probability_on_front(FOUR, np.array([1.0, 1.0, 1.0])).tolist() == [0.5, 0.75, 0.0]


def test_the_front_is_that_of_each_draw_by_a_slow_twin() -> None:
    rng = np.random.default_rng(0)
    draws, cost = rng.normal(size=(50, 12)), rng.integers(0, 6, 12).astype(float)
    slow = [np.mean([row[k] >= row[cost <= cost[k]].max() for row in draws]) for k in range(12)]
    np.testing.assert_allclose(probability_on_front(draws, cost), slow)


def test_what_is_claimed_together_holds_together() -> None:
    """Each of twenty is better by 2.2 deviations: enough by itself, too little among twenty."""
    rng = np.random.default_rng(0)
    draws, rival = rng.normal(2.2, 1.0, (20_000, 20)), np.zeros((20_000, 1))
    assert beats(draws[:, :1], rival).claimed.all()
    assert not beats(draws, rival).claimed.any()
    assert beats(draws, rival).chance[:, 0] == pytest.approx(np.full(20, 0.986), abs=0.005)
    # With one cause for all they are one comparison.
    same = beats(draws[:, [0] * 20], rival)
    assert same.claimed.all() and same.together == pytest.approx(same.chance[0, 0])


def test_what_is_left_is_held_against_less_once_others_are_claimed() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal([9.0, 9.0, 9.0, 9.0, 2.3], 1.0, (20_000, 5))
    assert beats(draws, np.zeros((20_000, 1))).claimed.all()


def test_of_nothing_but_luck_one_front_in_twenty_claims_at_most() -> None:
    """Means of as many networks that are worth nothing, each with its own known noise."""
    rng = np.random.default_rng(0)
    found = [
        beats(rng.normal(rng.normal(0, 1, 8), 1, (500, 8)), np.zeros((500, 1))).claimed.any()
        for _ in range(400)
    ]
    assert 0.005 < np.mean(found) < 0.06


def test_only_what_is_asked_is_claimed_and_a_margin_is_allowed() -> None:
    draws = np.stack([np.full(100, 1.0), np.full(100, 0.95)], axis=1)
    rivals = np.full((100, 1), 1.0)
    assert not beats(draws, rivals).claimed.any()
    within = beats(draws, rivals, margin=0.1, asked=np.array([[False], [True]]))
    assert within.claimed.tolist() == [[False], [True]]
    assert np.isnan(within.chance[0, 0])
    assert non_inferior(draws, rivals[:, 0], 0.1).tolist() == [1.0, 1.0]
    assert non_inferior(draws, rivals[:, 0], 0.01).tolist() == [1.0, 0.0]


def test_without_a_rival_nothing_is_claimed() -> None:
    found = beats(FOUR, FOUR[:, :0])
    assert found.claimed.shape == (3, 0) and found.together == 1.0


def test_the_cheapest_that_is_as_good() -> None:
    rng = np.random.default_rng(0)
    draws = np.array([0.0, 0.99, 1.0]) + rng.normal(0, 0.01, (2000, 3))
    found = cheapest_within(draws, np.array([1.0, 2.0, 3.0]), delta=0.1)
    assert (found.row, found.shown) == (1, True) and found.probability > 0.99
    assert cheapest_within(draws, np.array([1.0, 2.0, 3.0]), delta=2.0).row == 0
    unsure = cheapest_within(draws + rng.normal(0, 5, draws.shape), np.arange(3.0), delta=0.1)
    assert not unsure.shown and unsure.probability < 0.8


def test_nowhere_says_what_is_ruled_out() -> None:
    draws = np.random.default_rng(0).normal(-0.5, 0.1, (4000, 3))
    found = nowhere(draws, delta=0.0)
    assert found.probability == 1.0
    assert -0.4 < found.gain < -0.2


def test_an_interval_holds_its_share() -> None:
    low, high = interval(np.random.default_rng(0).normal(0, 1, (20_000, 2)), 0.9)
    np.testing.assert_allclose(low, -1.645, atol=0.05)
    np.testing.assert_allclose(high, 1.645, atol=0.05)
