from __future__ import annotations

import numpy as np
import pytest

from nas.samplers.pareto.scale import Scale, Skewed

COSTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1000.0, 1e6])


def test_the_better_half_keeps_its_distances_and_the_rest_is_drawn_together() -> None:
    scale = Scale.of(COSTS)
    assert scale.centre == 4
    values = scale.to(COSTS)
    assert np.diff(values[:4]) == pytest.approx(1 / scale.unit)
    assert (np.diff(values) > 0).all() and values[-1] < 15
    assert scale.back(values) == pytest.approx(COSTS)


def test_equal_costs_have_a_scale() -> None:
    scale = Scale.of(np.full(5, 3.0))
    assert scale.to(np.full(5, 3.0)).tolist() == [0] * 5
    assert np.isfinite(scale.to(np.array([4.0]))).all()


@pytest.mark.parametrize("level", [2.0, 4.0, 5.5, 100.0])
@pytest.mark.parametrize("mean", [-2.0, 0.0, 1.5])
def test_what_is_below_a_level_equals_the_mean_over_draws(level: float, mean: float) -> None:
    scale = Scale(4.0, 2.0)
    belief = Skewed(scale, np.array([mean]), np.array([0.7]))
    drawn = scale.back(np.random.default_rng(0).normal(mean, 0.7, 400_000))
    assert belief.below(level)[0] == pytest.approx(
        np.maximum(level - drawn, 0).mean(), rel=0.02, abs=2e-3
    )
