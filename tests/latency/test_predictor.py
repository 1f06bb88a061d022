from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.base.errors import MeasurementError
from nas.latency.design import choose
from nas.latency.features import join, source_columns, standardise
from nas.latency.predictor import Predictor, fit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def pool(seed: int, count: int = 600) -> tuple[Floats, Floats, Whole]:
    """Networks of 12 layers with 4 blocks each: one-hots, features and their groups."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (count, 12))
    hot = (blocks[:, :, None] == np.arange(4)).reshape(count, -1).astype(float)
    numbers = hot.reshape(count, 12, 4).sum(axis=1)
    return hot, *join([(standardise(numbers), 1.0), (hot, 0.1)])


def device(hot: Floats, seed: int, *, spread: float = 0.2, noise: float = 0.02) -> Floats:
    """Additive latencies, ms: a time for each block, varied from layer to layer."""
    rng = np.random.default_rng(seed)
    times = np.tile(rng.gamma(2.0, 0.5, 4), 12) * (1 + spread * rng.standard_normal(48))
    return np.asarray(5 + hot @ times + noise * rng.standard_normal(len(hot)))


def rank_correlation(a: Floats, b: Floats) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def error(predictor: Predictor, features: Floats, truth: Floats) -> float:
    return float(np.abs(predictor.predict(features)[0] / truth - 1).mean())


def test_a_linear_truth_is_recovered() -> None:
    rng = np.random.default_rng(0)
    features = standardise(rng.standard_normal((300, 3)))
    truth = 20 + features @ np.array([3.0, -1.0, 0.5])
    chosen = choose(features, 10, seed=0)
    mean, half = fit(features[chosen], truth[chosen]).predict(features)
    np.testing.assert_allclose(mean, truth, atol=0.1)
    assert (half < 1.0).all()


def test_more_measurements_than_features_leave_little_of_the_prior() -> None:
    rng = np.random.default_rng(1)
    features = standardise(rng.standard_normal((150, 3)))
    truth = 20 + features @ np.array([3.0, -1.0, 0.5])
    measured = truth + 0.2 * rng.standard_normal(150)
    predictor = fit(features, measured)
    np.testing.assert_allclose(predictor.weights, [3.0, -1.0, 0.5], atol=0.05)
    assert predictor.noise == pytest.approx(0.2, rel=0.15)
    half = predictor.predict(features)[1]
    np.testing.assert_allclose(half, 1.645 * 0.2, rtol=0.2)


def test_far_fewer_measurements_than_features_order_the_rest() -> None:
    correlations = []
    for seed in range(10):
        hot, features, groups = pool(seed)
        truth = device(hot, seed)
        chosen = choose(features, 20, seed=seed)
        predictor = fit(features[chosen], truth[chosen], groups=groups)
        correlations.append(rank_correlation(predictor.predict(features)[0], truth))
    assert np.mean(correlations) > 0.93
    assert min(correlations) > 0.85


@pytest.mark.parametrize("count", [10, 20])
def test_intervals_hold_nine_in_ten_where_the_prior_holds(count: int) -> None:
    """Devices drawn from what the predictor expects."""
    _, features, groups = pool(0)
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sizes = np.exp(1.5 * rng.standard_normal(2) / 2)
        noise = np.exp((-4 + 2.5 * rng.standard_normal()) / 2)
        measured = 20 + features @ (sizes[groups] * rng.standard_normal(features.shape[1]))
        measured += noise * rng.standard_normal(len(features))
        chosen = choose(features, count, seed=seed)
        mean, half = fit(features[chosen], measured[chosen], groups=groups).predict(features)
        rest = np.setdiff1d(np.arange(len(features)), chosen)
        covered.append((np.abs(mean - measured) <= half)[rest].mean())
    assert 0.85 < np.mean(covered) < 0.95


@pytest.mark.parametrize("count", [10, 20, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_intervals_are_not_too_narrow_elsewhere(count: int, noise: float) -> None:
    covered = []
    for seed in range(20):
        hot, features, groups = pool(seed)
        measured = device(hot, seed, noise=noise)
        chosen = choose(features, count, seed=seed)
        mean, half = fit(features[chosen], measured[chosen], groups=groups).predict(features)
        rest = np.setdiff1d(np.arange(len(hot)), chosen)
        covered.append((np.abs(mean - measured) <= half)[rest].mean())
    assert np.mean(covered) > 0.87


def test_chosen_networks_teach_more_than_random_ones() -> None:
    design, random = [], []
    for seed in range(10):
        hot, features, groups = pool(seed)
        truth = device(hot, seed)
        chosen = choose(features, 15, seed=seed)
        drawn = np.random.default_rng(seed).choice(len(hot), 15, replace=False)
        for rows, errors in ((chosen, design), (drawn, random)):
            predictor = fit(features[rows], truth[rows], groups=groups)
            errors.append(error(predictor, features, truth))
    assert np.mean(design) < np.mean(random)


def test_the_choice_depends_on_seed_and_pool_alone() -> None:
    _, features, _ = pool(0, count=5000)
    first = choose(features, 12, seed=1)
    assert len(set(first)) == 12
    np.testing.assert_array_equal(first, choose(features.copy(), 12, seed=1))
    assert set(first) != set(choose(features, 12, seed=2))


def test_the_order_of_the_pool_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    features = rng.standard_normal((200, 6))
    latencies = 10 + features[:, 0]
    order = rng.permutation(200)
    chosen = choose(features, 8, seed=0)
    shuffled = choose(features[order], 8, seed=0)
    assert set(order[shuffled]) == set(chosen)
    mean, half = fit(features[chosen], latencies[chosen]).predict(features)
    turned = fit(features[chosen[::-1]], latencies[chosen[::-1]]).predict(features[order])
    np.testing.assert_allclose(turned[0], mean[order], rtol=1e-9)
    np.testing.assert_allclose(turned[1], half[order], rtol=1e-6)


@pytest.mark.parametrize("factor", [0.001, 0.3, 3.0, 10.0, 1e6])
def test_broken_measurements_are_dropped_and_named(factor: float) -> None:
    for seed in range(5):
        hot, features, groups = pool(seed)
        truth = device(hot, seed)
        chosen = choose(features, 20, seed=seed)
        measured = truth[chosen]
        clean = error(fit(features[chosen], measured, groups=groups), features, truth)
        measured[[4, 13]] *= factor
        predictor = fit(features[chosen], measured, groups=groups)
        assert predictor.dropped == (4, 13)
        assert error(predictor, features, truth) < clean + 0.05


def test_good_measurements_are_kept() -> None:
    dropped = 0
    for seed in range(20):
        hot, features, groups = pool(seed)
        chosen = choose(features, 20, seed=seed)
        latencies = device(hot, seed, noise=0.3)[chosen]
        dropped += len(fit(features[chosen], latencies, groups=groups).dropped)
    assert dropped <= 4  # of 400


def test_two_clusters_that_a_feature_explains_are_no_outliers() -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack([np.arange(20) % 4 == 0, rng.standard_normal(20)]).astype(float)
    latencies = 10 + 30 * features[:, 0] + 0.01 * features[:, 1]
    predictor = fit(features, latencies)
    assert predictor.dropped == ()
    np.testing.assert_allclose(predictor.predict(features)[0], latencies, rtol=0.02)


@pytest.mark.parametrize("values", [[12.0] * 8, [12.0] * 6 + [13.0, 11.0]])
def test_a_coarse_clock_is_no_obstacle(values: list[float]) -> None:
    features = np.random.default_rng(0).standard_normal((8, 3))
    mean, half = fit(features, np.array(values)).predict(features)
    np.testing.assert_allclose(mean, 12.0, atol=1.5)
    assert np.isfinite(half).all()


def test_predictions_are_positive_and_in_order() -> None:
    features = np.linspace(0, 1, 50)[:, None]
    predictor = fit(features[20:], 10 * features[20:, 0])
    mean, _ = predictor.predict(features - 0.5)
    assert (mean > 0).all()
    assert (np.diff(mean) > 0).all()


def test_units_of_latency_do_not_matter() -> None:
    hot, features, groups = pool(0)
    truth = device(hot, 0)
    chosen = choose(features, 20, seed=0)
    mean, half = fit(features[chosen], truth[chosen], groups=groups).predict(features)
    scaled = fit(features[chosen], 1000 * truth[chosen], groups=groups).predict(features)
    np.testing.assert_allclose(scaled[0], 1000 * mean, rtol=1e-6)
    np.testing.assert_allclose(scaled[1], 1000 * half, rtol=1e-6)


def test_other_devices_help() -> None:
    without, aided = [], []
    for seed in range(8):
        hot, features, groups = pool(seed)
        sources = np.stack([device(hot, 2 * seed, spread=0.8, noise=0.5) for _ in range(2)], axis=1)
        truth = device(hot, 2 * seed, spread=0.8) * 3
        sources[7, 0] = 1e6  # a failed measurement of a source
        wide, wide_groups = join([(source_columns(sources, features), 1.0), (features, 1.0)])
        for table, numbers, errors in (
            (features, groups, without),
            (wide, wide_groups, aided),
        ):
            chosen = choose(table, 10, seed=seed)
            predictor = fit(table[chosen], truth[chosen], groups=numbers)
            errors.append(error(predictor, table, truth))
    assert np.mean(aided) < 0.7 * np.mean(without)


def test_many_predictions_are_made_as_few_are() -> None:
    hot, features, groups = pool(0)
    predictor = fit(features[:20], device(hot, 0)[:20], groups=groups)
    many = np.tile(features, (200, 1))
    mean, half = predictor.predict(many)
    few = predictor.predict(features)
    np.testing.assert_allclose(mean[-600:], few[0])
    np.testing.assert_allclose(half[-600:], few[1])


GOOD = np.random.default_rng(0).standard_normal((8, 3))
TIMES = np.arange(1.0, 9.0)


@pytest.mark.parametrize(
    ("features", "latencies", "words"),
    [
        (GOOD, TIMES[:7], r"latencies of shape \(7,\) for 8 measured networks"),
        (GOOD[:4], TIMES[:4], "4 networks measured; measure at least 5"),
        (GOOD, np.where(TIMES == 3, np.nan, TIMES), "a latency of nan ms"),
        (GOOD, TIMES - 1, "a latency of 0.0 ms"),
        (np.where(GOOD == GOOD[2, 1], np.inf, GOOD), TIMES, "features of network 2 hold NaN"),
        (GOOD[0], TIMES, r"features of shape \(3,\)"),
        (GOOD, np.where(TIMES > 5, 1e9, TIMES), "3 of 8 latencies are more than 20 times"),
    ],
)
def test_what_cannot_be_fitted(features: Floats, latencies: Floats, words: str) -> None:
    with pytest.raises(MeasurementError, match=words) as caught:
        fit(features, latencies)
    assert "\n" not in str(caught.value)


def test_other_things_that_do_not_fit() -> None:
    predictor = fit(GOOD, TIMES)
    for words, call in (
        ("2 features; the predictor was fitted with 3", lambda: predictor.predict(GOOD[:, :2])),
        (r"groups of shape \(2,\)", lambda: fit(GOOD, TIMES, groups=np.zeros(2, np.int64))),
    ):
        with pytest.raises(MeasurementError, match=words):
            call()
