"""One value for each point: what the sampler's model finds in few of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from nas.belief.gaussian import Gaussian, Hyperparameters, fit_hyperparameters
from nas.belief.grid import Codes, Floats, Grid
from nas.belief.points import Points, PointSpace
from nas.belief.relation import Relation

LABELS = ("none", "se/r8", "se/r32", "coord/r8", "coord/r32")
GRID = Grid({f"site{number}": LABELS for number in range(6)})


def points(count: int, seed: int = 0, features: int = 0) -> Points:
    rng = np.random.default_rng(seed)
    codes = GRID.random(count, rng)
    return _points(codes, rng.normal(size=(count, features)))


def _points(codes: Codes, features: Floats) -> Points:
    return Points(GRID, codes, features, np.zeros((len(codes), 0)), np.zeros(len(codes)))


def additive(inputs: Points) -> Floats:
    worth = np.array([0.0, 0.5, 0.7, 1.5, 1.2])
    share = np.array([0.2, 0.3, 0.5, 1.0, 1.4, 2.0])
    found = (worth[inputs.codes] * share).sum(axis=1)
    return np.asarray((found - 3.5) / 1.5)


def fit(known: Points, values: Floats, noise: float | None = None) -> Hyperparameters:
    relation = Relation.of_one_source(len(known), noise)
    return fit_hyperparameters(PointSpace(GRID), known, relation, values, draws=False)


def model(known: Points, values: Floats) -> Gaussian:
    return Gaussian(fit(known, values), known, Relation.of_one_source(len(known)), values)


def noise_of(found: Hyperparameters) -> float:
    relation = Relation.of_one_source(2)
    return float(np.subtract(*relation.errors(found.relation[0])[0]))


def test_single_precision_comes_close() -> None:
    known, other = points(30), points(100, seed=1)
    process = model(known, additive(known))
    for exact, rough in zip(
        process.predict(other), process.predict(other, np.float32), strict=True
    ):
        assert rough == pytest.approx(exact, abs=5e-3)


def test_a_fit_predicts_an_additive_figure_from_few_points() -> None:
    known, other = points(60), points(500, seed=1)
    mean, deviation = model(known, additive(known)).predict(other)
    assert spearmanr(mean, additive(other)).statistic > 0.99
    missed = np.abs(mean - additive(other)) / deviation
    assert 0.5 < (missed < 2).mean()


def test_a_fit_finds_the_noise() -> None:
    rng = np.random.default_rng(0)
    known = points(150)
    found = fit(known, additive(known) + rng.normal(0, 0.3, 150))
    assert 0.15 < np.sqrt(noise_of(found)) < 0.45


@pytest.mark.parametrize("noise", [1e-3, 0.5])
def test_a_fit_holds_the_noise_that_is_known(noise: float) -> None:
    known = points(150)
    values = additive(known) + np.random.default_rng(0).normal(0, 0.3, 150)
    found = noise_of(fit(known, values, noise=noise))
    assert 0.6 * noise <= found <= 1.7 * noise


def test_a_feature_that_says_it_all_is_used() -> None:
    known, other = points(40, features=1), points(200, seed=1, features=1)
    values, truth = np.sin(known.features[:, 0]), np.sin(other.features[:, 0])
    assert spearmanr(model(known, values).predict(other)[0], truth).statistic > 0.98


def test_equal_points_and_constant_values_are_borne() -> None:
    same = _points(np.zeros((100, 6), dtype=np.int64), np.zeros((100, 0)))
    mean, deviation = model(same, np.zeros(100)).predict(points(5))
    assert np.isfinite(mean).all() and np.isfinite(deviation).all()
