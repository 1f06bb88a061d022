"""Linear algebra beside other work."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nas.base.threads import one_thread
from nas.belief import gaussian
from nas.belief.gaussian import Gaussian, fit_hyperparameters
from nas.belief.grid import Grid
from nas.belief.points import PointSpace
from nas.belief.relation import Relation


def _threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_thread_is_used_within_and_what_there_was_behind_it() -> None:
    with threadpool_limits(2, user_api="blas"):
        with one_thread():
            assert _threads() == {1}
        assert _threads() == {2}


def test_a_belief_is_fitted_and_asked_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    cholesky = gaussian.cholesky

    def listened(*arguments: object, **more: object) -> np.ndarray:
        seen.append(_threads())
        return cholesky(*arguments, **more)

    monkeypatch.setattr(gaussian, "cholesky", listened)
    grid = Grid({"a": ("none", "se"), "b": ("none", "se")})
    space = PointSpace(grid)
    points, relation = space.points(grid.all_points()), Relation.of_one_source(4)
    values = np.array([0.0, 1.0, 0.5, 1.5])
    with threadpool_limits(2, user_api="blas"):
        found = fit_hyperparameters(space, points, relation, values)
        Gaussian(found, points, relation, values).draws(points, 3)
    assert seen and all(threads == {1} for threads in seen)
