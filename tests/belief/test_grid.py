from __future__ import annotations

import numpy as np
import pytest

from nas.belief.grid import Grid

LABELS = ("none", "se/r8", "se/r32", "coord/r8", "coord/r16", "coord/r32")
GRID = Grid({"a": LABELS, "b": (1, 2, 3), "c": (True, False)})


def test_values_and_codes_are_each_others_reverse() -> None:
    values = {"a": "coord/r16", "b": 3, "c": False}
    codes = GRID.codes(values)
    assert codes.tolist() == [4, 2, 1]
    assert GRID.values(codes) == values
    assert GRID.volume == 36
    assert GRID.columns(codes[None])["b"].tolist() == [2]


def test_a_choice_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError):
        GRID.codes({"a": "bam", "b": 1, "c": True})


def test_choices_are_the_further_apart_the_less_they_share() -> None:
    kind, presence, scale = GRID.differences
    none, se8, se32, coord8, coord16, coord32 = range(6)
    assert kind[se8, se32] == 0 and kind[se8, coord8] == kind[se8, none] == 1
    assert presence[se8, none] == 1 and presence[se8, coord8] == 0
    assert 0 < scale[coord8, coord16] < scale[coord8, coord32] == 1
    # Ratios by their logarithms, plain numbers as they are.
    assert scale[coord8, coord16] == pytest.approx(scale[coord16, coord32])
    assert scale[6, 7] == pytest.approx(scale[7, 8]) and kind[6, 8] == 0
    # True and False are two kinds, and no scale.
    assert kind[9, 10] == 1 and scale[9, 10] == 0
    assert not GRID.differences[:, :6, 6:].any()


def test_exp_of_differences_is_a_kernel() -> None:
    first = GRID.differences[:, :6, :6]
    for weights in ([1, 0, 0], [0.1, 0, 5], [3, 0.1, 3]):
        kernel = np.exp(-np.tensordot(weights, first, 1))
        assert np.linalg.eigvalsh(kernel).min() > -1e-9


def test_neighbours_differ_in_one_parameter_and_are_all_there() -> None:
    point = GRID.codes({"a": "none", "b": 2, "c": True})
    found = GRID.neighbours(point[None])
    assert len(found) == 5 + 2 + 1
    assert ((found != point).sum(axis=1) == 1).all()
    assert len(np.unique(GRID.keys(found))) == len(found)


def test_every_point_comes_once() -> None:
    points = GRID.all_points()
    assert len(points) == len(np.unique(GRID.keys(points))) == 36
    assert (points < GRID.sizes).all()


def test_drawn_and_mutated_points_stay_on_the_grid() -> None:
    rng = np.random.default_rng(0)
    drawn = GRID.random(2000, rng)
    assert drawn.min() == 0 and (drawn.max(axis=0) == GRID.sizes - 1).all()
    mutated = GRID.mutate(drawn, np.ones(2000), rng)
    assert (mutated < GRID.sizes).all()
    assert (mutated != drawn).sum(axis=1).mean() == pytest.approx(1, abs=0.1)


def test_a_parameter_with_one_choice_never_changes() -> None:
    grid = Grid({"a": ("x",), "b": ("y", "z")})
    rng = np.random.default_rng(0)
    mutated = grid.mutate(np.zeros((50, 2), dtype=np.int64), np.full(50, 2), rng)
    assert not mutated[:, 0].any() and mutated[:, 1].all()


def test_equal_choices_of_different_types_are_told_apart() -> None:
    grid = Grid({"kind": (True, 1, 1.0), "size": range(3)})
    for kind, code in ((True, 0), (1, 1), (1.0, 2)):
        assert grid.codes({"kind": kind, "size": 2}).tolist() == [code, 2]
    # Who knows no types, as a storage of Optuna's, means the first that is equal.
    assert Grid({"kind": (0.5, 2.0)}).codes({"kind": 2}).tolist() == [1]
