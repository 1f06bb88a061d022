"""What the full trainings at the end of a search are spent on."""

from __future__ import annotations

from collections import Counter

import numpy as np

from nas.runs.retrain.in_search import Contender, choose_next


def _draws(means: list[float], deviation: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = rng.normal(means, deviation, (2000, len(means)))
    drawn[:, 0] = 0.0
    return drawn


def _contenders(seeds: list[int]) -> list[Contender]:
    return [
        Contender(trial=10 + number, seeds=had, plain=number == 0, reference=number < 2)
        for number, had in enumerate(seeds)
    ]


def test_the_plain_network_comes_first_and_keeps_the_root_of_all() -> None:
    chosen = choose_next(_contenders([0, 0, 0, 0]), _draws([0, 1, 2, 3], 1.0), 16)
    assert chosen[0] == (10, 1)
    assert Counter(trial for trial, _ in chosen)[10] == 4


def test_winner_and_rival_get_what_is_left_and_others_hardly_any() -> None:
    chosen = choose_next(_contenders([1, 1, 0, 0, 0]), _draws([0, -5, 3, 3.2, -4], 0.5), 9)
    had = Counter(trial for trial, _ in chosen)
    assert had[12] >= 3 and had[13] >= 3 and had[14] == 0


def test_a_hand_placed_network_is_among_the_first() -> None:
    chosen = choose_next(_contenders([0, 0, 0, 0]), _draws([0, 0.5, 3, 3], 0.5), 4)
    assert 11 in {trial for trial, _ in chosen}


def test_seeds_are_counted_on_from_those_there_are() -> None:
    chosen = choose_next(_contenders([3, 1, 2]), _draws([0, -9, 3], 0.1), 2)
    assert chosen == [(12, 3), (12, 4)]
