from __future__ import annotations

import numpy as np
import pytest

from nas.belief.mixed_model import _NETWORKS, _SEEDS, MixedModel, Trainings, _log_prior


def made(
    networks: int, seeds: int, own: float, of_seed: float, noise: float, draw: int = 0
) -> tuple[MixedModel, np.ndarray, np.ndarray]:
    """A model of every network with every seed, and the truth: networks and seeds."""
    rng = np.random.default_rng(draw)
    truth, effects = 5 + rng.normal(0, own, networks), rng.normal(0, of_seed, seeds)
    network, seed = np.repeat(np.arange(networks), seeds), np.tile(np.arange(seeds), networks)
    values = truth[network] + effects[seed] + rng.normal(0, noise, len(network))
    model = MixedModel(np.ones((networks, 1)), Trainings(network, seed, values))
    return model, truth, effects


def slow_twin(model: MixedModel, own: float, of_seed: float) -> tuple[np.ndarray, float]:
    """Means of the networks and the log likelihood up to a constant, by the whole covariance."""
    trainings, count = model.trainings, len(model.trainings.values)
    networks = np.eye(len(model.terms))[trainings.network]
    seeds = (trainings.seed[:, None] == model.shared_seeds[None, :]).astype(float)
    covariance = np.eye(count) + own**2 * networks @ networks.T + of_seed**2 * seeds @ seeds.T
    terms = model.terms[trainings.network]
    inverse = np.linalg.inv(covariance)
    information = terms.T @ inverse @ terms
    weights = np.linalg.solve(information, terms.T @ inverse @ trainings.values)
    rest = trainings.values - terms @ weights
    square = float(rest @ inverse @ rest)
    means = model.terms @ weights + own**2 * networks.T @ inverse @ rest
    freedom = count - terms.shape[1]
    log_det = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
    return means, -0.5 * log_det - 0.5 * freedom * np.log(square)


@pytest.mark.parametrize("seeds", [2, 3])
def test_it_is_the_slow_twin_averaged_over_its_grid(seeds: int) -> None:
    model, _, _ = made(12, seeds, 1.0, 0.5, 0.3)
    own, of_seed = model._grid
    prior = np.log(model._solved.chance)
    means, logs = zip(*(slow_twin(model, a, b) for a, b in zip(own, of_seed, strict=True)),
                      strict=True)  # fmt: skip
    logs = np.array(logs) + _log_prior(own, _NETWORKS) + _log_prior(of_seed, _SEEDS)
    chance = np.exp(logs - logs.max())
    np.testing.assert_allclose(np.exp(prior), chance / chance.sum(), atol=1e-6)
    expected = (chance / chance.sum()) @ np.array(means)
    drawn = model.draws(np.arange(12), 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=0.06)


def test_draws_are_joint_and_hold_the_truth() -> None:
    held, errors = [], []
    for draw in range(60):
        model, truth, _ = made(20, 2, 1.0, 1.0, 1.0, draw)
        drawn = model.draws(np.arange(20), 2000, np.random.default_rng(draw))
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        held.append(np.mean((low <= truth) & (truth <= high)))
        errors.append(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1])
    assert np.mean(held) == pytest.approx(0.9, abs=0.04)
    # What the two seeds did to all is not known, and common to all.
    assert np.mean(errors) > 0.2


def test_what_seeds_do_is_found() -> None:
    model, _, effects = made(40, 4, 1.0, 2.0, 0.2)
    found = np.array(list(model.seed_effects().values()))
    np.testing.assert_allclose(found - found.mean(), effects - effects.mean(), atol=0.1)


def test_networks_that_differ_by_noise_alone_are_drawn_together() -> None:
    model, _, _ = made(40, 2, 0.0, 0.0, 1.0)
    drawn = model.draws(np.arange(40), 2000, np.random.default_rng(0))
    raw = np.bincount(model.trainings.network, weights=model.trainings.values) / 2
    assert drawn.mean(axis=0).std() < 0.6 * raw.std()


def test_a_network_without_a_training_is_known_by_the_others() -> None:
    model, truth, _ = made(30, 2, 0.1, 0.0, 0.1)
    without = MixedModel(np.ones((31, 1)), model.trainings)
    drawn = without.draws(np.array([30]), 4000, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(truth.mean(), abs=0.1)
    assert drawn.std() == pytest.approx(truth.std(), rel=0.5)


def test_networks_that_lie_further_off_are_shrunk_less() -> None:
    model, _, _ = made(40, 1, 0.5, 0.0, 0.5)
    spread = np.where(np.arange(40) < 20, 0.2, 3.0)
    again = MixedModel(model.terms, model.trainings, spread)
    drawn = again.draws(np.arange(40), 2000, np.random.default_rng(0)).mean(axis=0)
    values = model.trainings.values - model.trainings.values.mean()
    kept = [np.polyfit(values[part], drawn[part], 1)[0] for part in (slice(20), slice(20, 40))]
    assert 0 < 2 * kept[0] < kept[1]


def test_studies_are_joined_without_sharing_a_seed() -> None:
    one = Trainings(np.array([0, 1]), np.array([0, 0]), np.array([1.0, 2.0]))
    both = Trainings.joined([one, one], [2, 2])
    assert both.network.tolist() == [0, 1, 2, 3]
    assert len(set(both.seed.tolist())) == 2
    kept = both.of(np.array([True, False, False, True]))
    assert kept.network.tolist() == [0, 3] and kept.values.tolist() == [1.0, 2.0]
