"""The networks that a search begins with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nas.belief.grid import Codes, Floats, Grid
from nas.belief.terms import Place
from nas.strategy.samplers.pareto.design import balanced_design

LABELS = ("none", "se/r8", "se/r16", "coord/r8", "eca")
GRID = Grid({f"site {number}": LABELS for number in range(8)})
PLACES = {f"site {number}": Place(f"stage {number // 3}", number / 7, 1) for number in range(8)}
KINDS = np.array([0, 1, 1, 2, 3])


def test_each_kind_is_seen_early_and_late_alone() -> None:
    rows = balanced_design(GRID, PLACES, 30)
    for row, kind in zip(rows[:6], (1, 1, 2, 2, 3, 3), strict=True):
        assert set(KINDS[row[row > 0]]) == {kind}
    assert (rows[0:6:2, 4:] == 0).all() and (rows[0:6:2, :4] > 0).all()
    assert (rows[1:6:2, :4] == 0).all() and (rows[1:6:2, 4:] > 0).all()


def test_kinds_meet_sites_about_equally_often_and_blocks_are_few_and_many() -> None:
    rows = balanced_design(GRID, PLACES, 40)
    blocks = (rows > 0).sum(axis=1)
    assert set(blocks[6:].tolist()) == set(range(1, 9))
    met = np.array(
        [[(KINDS[rows[:, site]] == kind).sum() for site in range(8)] for kind in (1, 2, 3)]
    )
    assert met.min() >= 3 and met.max() <= 3 * met.min()
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_it_spreads_over_what_networks_cost() -> None:
    weights = np.array([4.0, 4, 2, 2, 1, 1, 0.5, 0.5])

    def cost(codes: Codes) -> Floats:
        return 10 + (codes > 0) @ weights

    widest = []
    for given in (cost, None):
        rows = balanced_design(GRID, PLACES, 30, cost=given, seed=3)
        widest.append(max(b - a for a, b in pairwise(np.sort(cost(rows)).tolist())))
    assert widest[0] <= widest[1]


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_short_one_is_the_beginning_of_a_long_one(count: int) -> None:
    assert (balanced_design(GRID, PLACES, count) == balanced_design(GRID, PLACES, 20)[:count]).all()


def test_backbones_take_turns_and_sites_of_others_stay_empty() -> None:
    grid = Grid({"backbone": ("a", "b"), "a:0": LABELS, "b:0": LABELS, "b:1": LABELS})
    places = {name: Place("s", 0.0, int(name != "backbone")) for name in grid.parameters}

    def settled(codes: Codes) -> Codes:
        codes = codes.copy()
        codes[codes[:, 0] == 0, 2:] = 0
        codes[codes[:, 0] == 1, 1] = 0
        return codes

    rows = balanced_design(grid, places, 20, settled=settled)[6:]
    assert (settled(rows) == rows).all()
    assert 3 <= (rows[:, 0] == 1).sum() <= 11
