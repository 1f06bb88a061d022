"""The Gaussian model beside its slow twin, and its gradients beside finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from nas.belief.gaussian import Gaussian, _Evidence, fit_hyperparameters
from nas.belief.grid import Floats, Grid
from nas.belief.kernel import Kernel, KernelShape
from nas.belief.points import Points, PointSpace
from nas.belief.relation import Relation

_CHOICES = ("none", "se/r8", "se/r16", "coord/r8")


def _space(*, reference: bool = True) -> PointSpace:
    grid = Grid({f"site {number}": _CHOICES for number in range(4)})

    def features(codes: np.ndarray) -> Floats:
        return np.stack([np.log1p(codes.sum(axis=1)), np.cos(codes[:, 0])], axis=1)

    def terms(codes: np.ndarray) -> Floats:
        return np.stack([(codes == kind).mean(axis=1) for kind in (1, 2, 3)], axis=1)

    return PointSpace(
        grid,
        features,
        terms,
        np.array([0, 0, 1]),
        lambda codes: np.sqrt((codes > 0).mean(axis=1)),
        np.zeros(4, dtype=np.int64) if reference else None,
    )


def _relation(count: int) -> Relation:
    """Rows of a curve at three budgets, and of one other source."""
    number = np.arange(count)
    other = number % 4 == 3
    share = np.where(other, 1.0, np.array([0.1, 0.3, 1.0, 1.0])[number % 4])
    return Relation(
        share=share,
        source=np.where(other, 0, -1),
        level=number % 4,
        noise=number % 4 % 2,
        training=number // 4,
        seed=number // 8,
        repeats=1.0 + number % 3,
        known=np.array([np.nan, 0.1]),
        degrees=np.array([0.0, 7.0]),
        akin=np.array([False]),
    )


def _evidence(*, reference: bool) -> _Evidence:
    space, rng = _space(reference=reference), np.random.default_rng(0)
    codes = space.grid.random(24, rng)
    points = space.points(codes)
    shape = KernelShape(space.grid, 2, space.groups)
    there = space.points(space.reference[None]) if space.reference is not None else None
    return _Evidence(shape, points, _relation(24), rng.standard_normal(24), there)


@pytest.mark.parametrize("reference", [True, False])
def test_the_gradient_is_that_of_finite_differences(reference: bool) -> None:
    evidence = _evidence(reference=reference)
    means, spreads = evidence.prior()
    at = means + 0.3 * spreads * np.random.default_rng(1).standard_normal(len(means))
    _, gradient = evidence.cost_and_gradient(at)
    for number in range(len(at)):
        step = np.zeros_like(at)
        step[number] = 1e-5
        rise = evidence.cost_and_gradient(at + step)[0] - evidence.cost_and_gradient(at - step)[0]
        assert gradient[number] == pytest.approx(rise / 2e-5, rel=1e-4, abs=1e-5), number


def _slow_kernel(kernel: Kernel, left: Points, right: Points) -> Floats:
    """One pair after the other, by the definition."""

    def apart(a: Points, b: Points) -> float:
        own = joint = 0.0
        for site, (one, two) in enumerate(zip(a.codes[0], b.codes[0], strict=True)):
            first = int(a.grid.first[site])
            own += kernel.own[first + one, first + two]
            joint += kernel.distance[first + one, first + two]
        near = ((a.features[0] - b.features[0]) / kernel.lengths) ** 2
        terms = (a.terms[0] * kernel.terms * b.terms[0]).sum()
        return float(
            own + kernel.joint * np.exp(-joint) + kernel.feature * np.exp(-near.sum() / 2) + terms
        )

    values = np.empty((len(left), len(right)))
    for i in range(len(left)):
        for j in range(len(right)):
            a, b = left[np.array([i])], right[np.array([j])]
            values[i, j] = apart(a, b)
            if (plain := kernel.reference) is not None:
                values[i, j] += apart(plain, plain) - apart(a, plain) - apart(plain, b)
    return values


def test_the_kernel_equals_its_definition_and_is_nothing_at_the_plain_network() -> None:
    space, rng = _space(), np.random.default_rng(0)
    shape = KernelShape(space.grid, 2, space.groups)
    assert space.reference is not None
    plain = space.points(space.reference[None])
    kernel = shape.kernel(shape.prior()[0] + 0.2 * rng.standard_normal(shape.size), plain)
    left, right = space.points(space.grid.random(6, rng)), space.points(space.grid.random(5, rng))
    assert kernel.covariance(left, right) == pytest.approx(_slow_kernel(kernel, left, right))
    assert kernel.variance(left) == pytest.approx(np.diag(kernel.covariance(left, left)))
    assert kernel.covariance(left, right, np.float32) == pytest.approx(
        kernel.covariance(left, right), abs=1e-5
    )
    assert kernel.variance(plain)[0] == pytest.approx(0.0, abs=1e-12)


def test_the_posterior_is_that_of_the_joint_normal_distribution() -> None:
    space, rng = _space(), np.random.default_rng(3)
    points = space.points(space.grid.random(24, rng))
    values, relation = rng.standard_normal(24), _relation(24)
    found = fit_hyperparameters(space, points, relation, values)
    model = Gaussian(found, points, relation, values)
    new = space.points(space.grid.random(7, rng))
    means, seconds = [], []
    for at in found.relation:
        toward, variance = relation.target(at)
        across = found.kernel.covariance(new, points) * toward
        covariance = found.kernel.covariance(points, points) * relation.rows(at)
        covariance = covariance + relation.errors(at)
        usual, slower = relation.expected(at, points.load)
        means.append(slower * new.load + across @ np.linalg.solve(covariance, values - usual))
        left = variance * found.kernel.covariance(new, new)
        left -= across @ np.linalg.solve(covariance, across.T)
        seconds.append(left + np.outer(means[-1], means[-1]))
    mean = np.tensordot(found.weights, np.array(means), axes=1)
    covariance = np.tensordot(found.weights, np.array(seconds), axes=1) - np.outer(mean, mean)
    predicted, deviation = model.predict(new)
    assert predicted == pytest.approx(mean, abs=1e-5)
    assert deviation == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-3)
    drawn = model.draws(new, 20_000)
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.05)
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.06)
