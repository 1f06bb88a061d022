from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.random import Generator
from scipy.stats import spearmanr

from benchmarks.fidelity.judgement import (
    Figure,
    advantage,
    best_possible,
    bootstrap,
    ceiling,
    judge,
    judge_fits,
    placement_residuals,
    reliability,
    spearman,
    spearman_brown,
)


@pytest.fixture
def rng() -> Generator:
    """A generator of the test's own: one for all would give other figures in another order."""
    return np.random.default_rng(3)


def networks(rng: Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of two kinds, log multiply-adds that hang on them, and a share for placement."""
    counts = rng.integers(0, 4, (count, 2)).astype(np.float64)
    log_macs = 5 + 0.1 * counts.sum(axis=1) + 0.05 * rng.standard_normal(count)
    return counts, log_macs, rng.standard_normal(count)


def test_spearman_shares_ranks_of_equal_values() -> None:
    one, two = np.array([1.0, 2.0, 2.0, 4.0, 5.0]), np.array([2.0, 1.0, 3.0, 3.0, 9.0])
    assert spearman(one, two) == pytest.approx(spearmanr(one, two).statistic)


def test_residuals_of_a_hand_worked_case() -> None:
    # Two networks of each count: what is left is half of their difference, either way.
    figure = np.array([1.0, 3.0, 10.0, 14.0])
    counts = np.array([[0.0], [0.0], [1.0], [1.0]])
    rest = placement_residuals(figure, counts, np.zeros(4))
    assert rest == pytest.approx([-1, 1, -2, 2], abs=1e-6)


def test_residuals_do_not_hang_on_columns_that_repeat_each_other(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 40)
    doubled = np.column_stack([counts, counts.sum(axis=1), np.ones(40)])
    assert placement_residuals(share, doubled, log_macs) == pytest.approx(
        placement_residuals(share, counts, log_macs), abs=1e-8
    )


def test_a_figure_that_the_counts_tell_leaves_nothing_to_rank(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 40)
    told = counts @ [1.0, -2.0] + 3 * log_macs
    found = judge(told, told + 0.1 * share, counts, log_macs, draws=50)
    assert found.overall.value > 0.9
    assert math.isnan(found.placement.value)
    assert str(found.placement) == "-"


def test_too_few_networks_for_the_columns_leave_nothing(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 5)
    assert np.isnan(placement_residuals(share[:4], counts[:4], log_macs[:4])).all()
    # The same network twice is one.
    twice = np.repeat(np.arange(4), 3)
    assert np.isnan(placement_residuals(share[twice], counts[twice], log_macs[twice])).all()


def test_placement_is_told_apart_from_counts(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 200)
    truth = 3 * counts[:, 0] - log_macs + share
    by_counts = 3 * counts[:, 0] + 0.5 * rng.standard_normal(200)
    by_place = share + 0.5 * rng.standard_normal(200)
    one = judge(by_counts, truth, counts, log_macs, draws=200)
    two = judge(by_place, truth, counts, log_macs, draws=200)
    assert one.overall.value > 0.8 and abs(one.placement.value) < 0.2
    assert two.overall.value < 0.5 and two.placement.value > 0.8
    assert two.placement.low < two.placement.value < two.placement.high


def test_judging_is_the_same_for_any_units_and_for_any_order_of_networks(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 60)
    truth, candidate = counts[:, 0] + share, share + rng.standard_normal(60)
    one = judge(candidate, truth, counts, log_macs, draws=20)
    two = judge(7 + 1e-4 * candidate, 100 * truth, 3 * counts, log_macs / 2.3, draws=20)
    assert one.placement.value == pytest.approx(two.placement.value, abs=1e-9)
    order = rng.permutation(60)
    moved = judge(candidate[order], truth[order], counts[order], log_macs[order], draws=20)
    assert one.overall.value == pytest.approx(moved.overall.value)


def test_intervals_of_90_percent_hold_about_so_often() -> None:
    held, rng = [], np.random.default_rng(0)
    for _ in range(150):
        both = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 40)
        (found,) = bootstrap(
            lambda rows, both=both: np.array([spearman(both[rows, 0], both[rows, 1])]),
            40,
            draws=200,
        )
        truth = 6 / np.pi * np.arcsin(0.3)  # of normal variables with a correlation of .6
        held.append(found.low <= truth <= found.high)
    assert 0.82 < np.mean(held) < 0.97


def test_a_figure_that_seldom_has_a_value_has_no_interval() -> None:
    (found,) = bootstrap(lambda rows: np.array([1.0 if 0 in rows[:1] else np.nan]), 10, draws=100)
    assert found.drawn < 0.5 and math.isnan(found.low)


def test_the_same_candidate_has_no_advantage_over_itself(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 60)
    truth, candidate = counts[:, 0] + share, share + rng.standard_normal(60)
    found = advantage(candidate, candidate, truth, counts, log_macs, draws=50)
    assert found.overall == Figure(0, 0, 0) and found.placement == Figure(0, 0, 0)


def test_a_rival_made_of_counts_has_a_placement_of_nothing(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 60)
    truth = counts[:, 0] + share
    found = advantage(share, counts[:, 0], truth, counts, log_macs, draws=50)
    alone = judge(share, truth, counts, log_macs, draws=50)
    assert found.placement == alone.placement


def test_a_mean_of_two_agrees_better() -> None:
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert spearman_brown(0.5, 1) == 0.5
    assert spearman_brown(-1.0, 2) == -1.0
    assert math.isnan(spearman_brown(math.nan, 2))
    assert best_possible(0.81) == pytest.approx(0.9)


def test_the_ceiling_is_what_two_trainings_of_planted_noise_give(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 3000)
    first, second = (share + rng.standard_normal(3000) for _ in range(2))
    found = ceiling(first, second, counts, log_macs, length=2, draws=20)
    # Reliability .5 of one, 2/3 of the mean of two; by ranks a little less.
    assert found.overall.value == pytest.approx(0.65, abs=0.04)
    assert found.placement.value == pytest.approx(0.65, abs=0.04)
    mean = (first + second) / 2
    assert judge(share, mean, counts, log_macs, draws=2).overall.value == pytest.approx(
        best_possible(2 / 3), abs=0.04
    )


def test_reliability_is_that_of_planted_noise_though_few_have_two_trainings() -> None:
    noise, held = 0.875, 0  # a quarter of the networks has half of a training's noise
    for world in range(30):
        rng = np.random.default_rng(world)
        counts, log_macs, share = networks(rng, 400)
        trainings = np.where(np.arange(400) < 100, 2.0, 1.0)
        truth = 2 * counts[:, 0] + share + rng.standard_normal(400) / np.sqrt(trainings)
        first, second = (share[:100] + rng.standard_normal(100) for _ in range(2))
        found = reliability(truth, trainings, first, second, counts, log_macs, draws=100)
        spread = 4 * np.var(counts[:, 0]) + 1
        assert found.overall.value == pytest.approx(spread / (spread + noise), abs=0.08)
        assert found.placement.value == pytest.approx(1 / (1 + noise), abs=0.2)
        held += found.placement.low < 1 / (1 + noise) < found.placement.high
    assert 24 <= held <= 30  # intervals of 90 %


def test_a_truth_that_is_noise_alone_is_not_reliable(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 200)
    first, second = (rng.standard_normal(50) for _ in range(2))
    found = reliability(share, np.ones(200), first, second, counts, log_macs, draws=100)
    assert found.placement.low == 0 and found.placement.value < 0.35


def test_wrong_figures_are_refused(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 10)
    broken = np.where(np.arange(10) == 4, np.nan, share)
    with pytest.raises(ValueError, match="network 4"):
        judge(broken, share, counts, log_macs)
    with pytest.raises(ValueError, match="counts of shape"):
        judge(share, share, counts[:, 0], log_macs)
    with pytest.raises(ValueError, match="differ"):
        ceiling(share[:9], share, counts, log_macs)


def test_several_fits_are_judged_by_their_mean_and_the_spread_between_them(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 60)
    truth = counts[:, 0] + share
    good, bad = truth + 0.1 * rng.standard_normal(60), rng.standard_normal(60)
    one = judge_fits(good[None], truth, counts, log_macs, draws=100)
    assert one == judge(good, truth, counts, log_macs, draws=100)
    both = judge_fits(np.stack([good, bad]), truth, counts, log_macs, draws=100)
    alone = judge(bad, truth, counts, log_macs, draws=100)
    mean = (one.placement.value + alone.placement.value) / 2
    assert both.placement.value == pytest.approx(mean)
    assert both.placement.low < 0.3 and both.placement.high > 0.9
    rivals = np.stack([bad, bad])
    ahead = judge_fits(np.stack([good, bad]), truth, counts, log_macs, rivals=rivals, draws=100)
    assert ahead.overall.value == pytest.approx((one.overall.value - alone.overall.value) / 2)


def test_a_fit_to_nothing_has_no_figure(rng: Generator) -> None:
    counts, log_macs, share = networks(rng, 30)
    found = judge_fits(np.zeros((2, 30)), share, counts, log_macs, draws=20)
    assert math.isnan(found.overall.value) and math.isnan(found.placement.value)
