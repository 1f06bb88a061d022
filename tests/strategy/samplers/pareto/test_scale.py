from __future__ import annotations

import numpy as np
import pytest

from nas.strategy.samplers.pareto.scale import Scale

COSTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1000.0, 1e6])


def test_the_better_half_keeps_its_distances_and_the_rest_is_drawn_together() -> None:
    scale = Scale.of(COSTS)
    assert scale.centre == 4
    values = scale.apply(COSTS)
    assert np.diff(values[:4]) == pytest.approx(1 / scale.unit)
    assert (np.diff(values) > 0).all() and values[-1] < 15
    assert scale.deviation(0.5) == pytest.approx(values[1] - scale.apply(COSTS[1:2] - 0.5)[0])


def test_equal_costs_have_a_scale() -> None:
    scale = Scale.of(np.full(5, 3.0))
    assert scale.apply(np.full(5, 3.0)).tolist() == [0] * 5
    assert np.isfinite(scale.apply(np.array([4.0]))).all()
