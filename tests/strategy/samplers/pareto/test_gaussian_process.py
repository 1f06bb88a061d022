from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from nas.strategy.samplers.pareto.gaussian_process import GaussianProcess
from nas.belief.grid import Floats, Grid
from nas.strategy.samplers.pareto.hyperparameters import fit_kernel
from nas.strategy.samplers.pareto.kernel import Inputs, Kernel

LABELS = ("none", "se/r8", "se/r32", "coord/r8", "coord/r32")
GRID = Grid({f"site{number}": LABELS for number in range(6)})


def points(count: int, seed: int = 0, features: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    codes = GRID.random(count, rng)
    return Inputs(GRID, codes, rng.normal(size=(count, features)))


def additive(inputs: Inputs) -> Floats:
    worth = np.array([0.0, 0.5, 0.7, 1.5, 1.2])
    share = np.array([0.2, 0.3, 0.5, 1.0, 1.4, 2.0])
    found = (worth[inputs.codes] * share).sum(axis=1)
    return np.asarray((found - 3.5) / 1.5)


def kernel(features: int = 0, noise: float = 1e-6) -> Kernel:
    apart = GRID.differences.sum(axis=0)
    same = (GRID.owner[:, None] == GRID.owner).astype(float)
    return Kernel(same * np.exp(-apart) / 6, apart / 3, np.full(features, 2.0), 0.3, 0.4, noise)


def test_the_kernel_equals_its_obvious_twin() -> None:
    inputs = points(7, features=2)
    made, twin = kernel(2).covariance(inputs, inputs), np.zeros((7, 7))
    for row in range(7):
        for column in range(7):
            apart = 0.0
            for parameter, first in enumerate(GRID.first):
                one = first + inputs.codes[row, parameter]
                two = first + inputs.codes[column, parameter]
                twin[row, column] += kernel().own[one, two]
                apart += kernel().distance[one, two]
            twin[row, column] += 0.3 * np.exp(-apart)
            away = ((inputs.features[row] - inputs.features[column]) / 2.0) ** 2
            twin[row, column] += 0.4 * np.exp(-0.5 * away.sum())
    assert made == pytest.approx(twin)
    assert np.diag(made) == pytest.approx(kernel(2).variance(inputs))


def test_single_precision_comes_close() -> None:
    known, other = points(30), points(100, seed=1)
    process = GaussianProcess.condition(kernel(noise=1e-3), known, additive(known))
    for exact, rough in zip(
        process.predict(other), process.predict(other, np.float32), strict=True
    ):
        assert rough == pytest.approx(exact, abs=1e-3)


def test_the_posterior_equals_the_textbook() -> None:
    known, other = points(20), points(5, seed=1)
    process = GaussianProcess.condition(kernel(noise=0.1), known, additive(known))
    inverse = np.linalg.inv(kernel().covariance(known, known) + (0.1 + 1e-8) * np.eye(20))
    across = kernel().covariance(other, known)
    mean, deviation = process.predict(other)
    assert mean == pytest.approx(across @ inverse @ additive(known))
    left = kernel().covariance(other, other) - across @ inverse @ across.T
    assert deviation == pytest.approx(np.sqrt(np.diag(left)))


def test_what_is_pending_takes_variance_and_leaves_the_mean() -> None:
    known, pending = points(20), points(3, seed=1)
    without = GaussianProcess.condition(kernel(), known, additive(known))
    with_them = GaussianProcess.condition(kernel(), known, additive(known), pending)
    assert with_them.predict(pending)[0] == pytest.approx(without.predict(pending)[0], abs=1e-4)
    assert (with_them.predict(pending)[1] < 0.01).all()
    assert (without.predict(pending)[1] > 0.05).all()


def test_a_fit_predicts_an_additive_figure_from_few_points() -> None:
    known, other = points(60), points(500, seed=1)
    process = GaussianProcess.condition(fit_kernel(known, additive(known)), known, additive(known))
    mean, deviation = process.predict(other)
    assert spearmanr(mean, additive(other)).statistic > 0.99
    missed = np.abs(mean - additive(other)) / deviation
    assert 0.5 < (missed < 2).mean()


def test_a_fit_finds_the_noise() -> None:
    rng = np.random.default_rng(0)
    known = points(150)
    found = fit_kernel(known, additive(known) + rng.normal(0, 0.3, 150))
    assert 0.15 < np.sqrt(found.noise) < 0.45


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.5])
def test_a_fit_holds_the_noise_that_is_known(noise: float) -> None:
    known = points(150)
    values = additive(known) + np.random.default_rng(0).normal(0, 0.3, 150)
    found = fit_kernel(known, values, noise=noise).noise
    assert 0.6 * noise <= found <= 1.5 * noise + 1e-5


def test_a_feature_that_says_it_all_is_used() -> None:
    known, other = points(40, features=1), points(200, seed=1, features=1)
    values, truth = np.sin(known.features[:, 0]), np.sin(other.features[:, 0])
    process = GaussianProcess.condition(fit_kernel(known, values), known, values)
    assert spearmanr(process.predict(other)[0], truth).statistic > 0.98


def test_equal_points_and_constant_values_are_borne() -> None:
    same = Inputs(GRID, np.zeros((100, 6), dtype=np.int64), np.zeros((100, 0)))
    found = fit_kernel(same, np.zeros(100))
    mean, deviation = GaussianProcess.condition(found, same, np.zeros(100)).predict(points(5))
    assert np.isfinite(mean).all() and np.isfinite(deviation).all()
