from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from nas.runs.calibrate.agreement import agreement, bias, paired_noise, resolution

TRUTH = np.linspace(60.0, 66.0, 24)


def observed(noise: float, seeds: int, truth: np.ndarray = TRUTH, *, draw: int = 0) -> np.ndarray:
    """(n, seeds), with a shift of each seed that all rows share."""
    rng = np.random.default_rng(draw)
    shift = rng.normal(0, 5.0, seeds)
    return truth[:, None] + shift + rng.normal(0, noise, (len(truth), seeds))


def test_a_perfect_proxy_agrees_up_to_the_ceiling() -> None:
    full = observed(0.3, 3)
    found = agreement(0.1 * TRUTH[:, None], full)
    assert found.spearman.value == pytest.approx(spearmanr(TRUTH, full.mean(axis=1)).statistic)
    assert found.spearman.low <= found.spearman.value <= found.spearman.high
    assert found.ceiling == pytest.approx(found.spearman.value, abs=0.02)
    assert found.best_ceiling < found.ceiling


def test_kendall_is_that_of_scipy_with_ties_too() -> None:
    rng = np.random.default_rng(4)
    proxy, full = rng.integers(0, 6, 24).astype(float), TRUTH + rng.normal(0, 2, 24)
    found = agreement(proxy[:, None], full[:, None])
    assert found.kendall.value == pytest.approx(kendalltau(proxy, full).statistic)


def test_an_inverted_proxy_disagrees_and_a_random_one_may_be_either() -> None:
    full = observed(0.3, 3)
    assert agreement(-TRUTH[:, None], full).kendall.high < -0.8
    noise = agreement(np.random.default_rng(1).normal(size=(24, 2)), full)
    assert noise.spearman.low < 0 < noise.spearman.high


def test_fewer_seeds_of_the_proxy_agree_less() -> None:
    full, proxy = observed(0.1, 3), observed(2.0, 6, draw=1)
    every, one = agreement(proxy, full), agreement(proxy, full, seeds=1)
    assert one.spearman.value < every.spearman.value
    singles = [spearmanr(proxy[:, seed], full.mean(axis=1)).statistic for seed in range(6)]
    assert one.spearman.value == pytest.approx(np.mean(singles))


def test_with_one_seed_of_full_training_the_ceiling_is_unknown() -> None:
    found = agreement(TRUTH[:, None], observed(0.3, 1))
    assert math.isnan(found.ceiling)
    assert found.spearman.value > 0.9


def test_a_proxy_that_says_one_thing_of_all_has_no_rank_correlation() -> None:
    found = agreement(np.ones((24, 2)), observed(0.3, 2))
    assert math.isnan(found.spearman.value)
    assert math.isnan(found.spearman.low)


def test_missing_seeds_are_left_out() -> None:
    full = observed(0.1, 3)
    full[3, 1] = full[7, 2] = np.nan
    assert agreement(TRUTH[:, None], full).spearman.value > 0.98


def test_paired_noise_is_what_is_left_when_the_shift_of_a_seed_is_out() -> None:
    rows = np.array([[1.0, 11.0], [2.0, 12.0], [3.0, 13.0]])
    assert paired_noise(rows) == pytest.approx(0.0)
    # By hand: residuals of 2 x 2 with one cell 4 too high are +-1, one degree of freedom.
    assert paired_noise(np.array([[4.0, 0.0], [0.0, 0.0]])) == pytest.approx(2.0)
    assert math.isnan(paired_noise(rows[:, :1]))


def test_bias_is_the_mean_rank_error_of_a_group() -> None:
    """By hand: c goes from last to first, so it gains 3 ranks of 4, and all others lose one."""
    full = np.array([[4.0], [3.0], [2.0], [1.0]])
    proxy = np.array([[4.0], [3.0], [2.0], [5.0]])
    shares = {"c": np.array([0, 0, 0, 1.0]), "rest": np.array([1.0, 1, 1, 0])}
    found = bias(proxy, full, shares | {"none": np.zeros(4)})
    assert found["c"].error.value == pytest.approx(0.75)
    assert found["rest"].error.value == pytest.approx(-0.25)
    assert math.isnan(found["c"].error.low)  # one row says nothing of others
    assert not math.isnan(found["rest"].error.low)
    assert set(found) == {"c", "rest"}


def test_a_fair_proxy_has_no_bias_beyond_chance() -> None:
    full, proxy = observed(0.5, 3), observed(0.5, 3, draw=1)
    half = np.arange(24) % 2 == 0
    error = bias(proxy, full, {"even": half.astype(float)})["even"].error
    assert error.low < 0 < error.high


def test_resolution_grows_with_the_error_of_the_proxy() -> None:
    full = observed(0.2, 3)
    sharp = resolution(0.01 * observed(0.1, 2, draw=1), full, difference=0.5)
    rough = resolution(0.01 * observed(1.5, 2, draw=1), full, difference=0.5)
    assert sharp.apart < 0.5 < rough.apart
    assert sharp.seeds_proxy == 1
    assert rough.seeds_proxy is None or rough.seeds_proxy > 5
    assert sharp.seed_noise == pytest.approx(0.2, rel=0.3)


def test_fewer_seeds_of_the_proxy_tell_less_apart() -> None:
    full, proxy = observed(0.2, 3), observed(1.0, 4, draw=1)
    every = resolution(proxy, full, difference=0.5)
    assert resolution(proxy, full, difference=0.5, seeds=4) == every
    assert resolution(proxy, full, difference=0.5, seeds=1).apart > every.apart


@pytest.mark.parametrize(("stays", "of_seeds"), [(0.2, 0.2), (1.0, 0.0), (1.5, 1.5)])
def test_networks_so_far_apart_are_ordered_rightly_in_nine_cases_of_ten(
    stays: float, of_seeds: float
) -> None:
    """The proxy's own error has the variance given, in units of the variance of the truth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, 2000)
    own = truth + rng.normal(0, math.sqrt(stays), 2000)
    proxy = 7 * (own[:, None] + rng.normal(0, math.sqrt(3 * of_seeds), (2000, 3)))
    full = truth[:, None] + rng.normal(0, 0.3, (2000, 3))
    apart = resolution(proxy, full, difference=0.5).apart
    assert apart == pytest.approx(1.2816 * math.sqrt(2 * (stays + of_seeds)), rel=0.1)
    one, two = rng.integers(2000, size=(2, 400_000))
    near = np.abs(np.abs(truth[one] - truth[two]) - apart) < 0.1
    seen = proxy.mean(axis=1)
    right = (seen[one] > seen[two]) == (truth[one] > truth[two])
    assert right[near].mean() == pytest.approx(0.9, abs=0.03)


def test_a_missing_seed_of_one_row_is_missing_alone() -> None:
    full, proxy = observed(0.2, 3), observed(0.4, 3, draw=1)
    whole = agreement(proxy, full, seeds=1)
    proxy[5, 0] = full[7, 2] = math.nan
    found = agreement(proxy, full, seeds=1)
    assert found.spearman.value == pytest.approx(whole.spearman.value, abs=0.03)
    assert found.ceiling == pytest.approx(whole.ceiling, abs=0.03)


def test_seeds_to_order_two_networks_by_hand() -> None:
    """Noise 1 between seeds, difference 1: 1.2816 * sqrt(2 / n) <= 1 from n = 4 (3.28) on."""
    full = observed(1.0, 400, TRUTH[:4])
    assert resolution(TRUTH[:4, None], full, difference=1.0).seeds_full == 4


def test_a_proxy_without_any_relation_tells_nothing_apart() -> None:
    found = resolution(-TRUTH[:, None], observed(0.2, 3), difference=0.5)
    assert math.isinf(found.apart)
    assert found.seeds_proxy is None


def test_networks_that_differ_by_noise_alone_have_no_ceiling() -> None:
    full = np.random.default_rng(3).normal(0, 1, (8, 3))
    full -= full.mean(axis=1, keepdims=True)
    found = agreement(np.arange(8.0)[:, None], full)
    assert math.isnan(found.ceiling) and math.isnan(found.best_ceiling)
