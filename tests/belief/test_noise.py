from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.belief.noise import SeedNoise, mean_over_seeds

Row = tuple[int, int, float]  # network, seed, value


def together(rows: list[Row]) -> SeedNoise:
    group, seed, values = zip(*rows, strict=True) if rows else ((), (), ())
    return mean_over_seeds(
        np.array(values, dtype=float), np.array(group, dtype=np.int64), np.array(seed, np.int64)
    )


@st.composite
def studies(draw: st.DrawFn) -> list[Row]:
    """As a search leaves them: network 0 has all seeds, the others the first few."""
    seeds = draw(st.integers(2, 4))
    counts = [seeds, *draw(st.lists(st.integers(1, seeds), min_size=1, max_size=5))]
    values = st.floats(-10, 10).map(lambda value: round(value, 4))
    rows = [(net, seed, draw(values)) for net, count in enumerate(counts) for seed in range(count)]
    # A network that repeats to the last digit is a case of its own, tested below.
    return [(net, seed, value + 20 * net + 1e-3 * (seed + 1) ** 2) for net, seed, value in rows]


def exact_free(rows: list[Row]) -> bool:
    return not together(rows).exact.any()


@given(studies(), st.randoms())
@settings(deadline=None)
def test_order_of_rows_and_names_of_seeds_do_not_matter(rows: list[Row], random: object) -> None:
    again = [(net, 1_000_003 * (7 - seed), value) for net, seed, value in rows]
    random.shuffle(again)  # type: ignore[attr-defined]
    before, after = together(rows), together(again)
    np.testing.assert_allclose(after.means, before.means, atol=1e-5)
    assert after.alone == pytest.approx(before.alone, nan_ok=True)
    assert after.paired == pytest.approx(before.paired, abs=1e-5, nan_ok=True)


# Seed 1 costs 1.1 more than seed 0, network 1 costs .6 more; what is left of each is +-.05.
TWO = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 1.5), (1, 1, 2.7)]


def test_where_all_have_the_same_seeds_means_are_means() -> None:
    noise = together(TWO)
    np.testing.assert_allclose(noise.means, [1.5, 2.1])
    assert noise.alone == pytest.approx(math.sqrt((0.5 + 0.72) / 2))
    assert noise.paired == pytest.approx(math.sqrt(4 * 0.05**2 / 1))
    assert noise.freedom == 1
    assert not noise.exact.any()


def many(seeds_of: list[int], effects: list[float], noise: float, draw: int = 0) -> list[Row]:
    """Networks apart by 1, each with the first seeds."""
    rng = np.random.default_rng(draw)
    return [
        (net, seed, net + effects[seed] + rng.normal(0, noise))
        for net, count in enumerate(seeds_of)
        for seed in range(count)
    ]


def test_noise_is_told_apart_from_what_seeds_do_to_all() -> None:
    noise = together(many([4] * 40, [0.0, 1.0, -0.5, 0.3], 0.1))
    assert noise.paired == pytest.approx(0.1, rel=0.15)
    assert 0.4 < noise.alone < 1.5
    assert noise.freedom == 40 * 3 - 3


def test_network_with_the_hard_seed_alone_is_not_blamed_for_it() -> None:
    rows = [*many([2] * 20, [0.0, 1.0], 0.01), (20, 1, 21.0)]
    noise = together(rows)
    assert noise.means[20] == pytest.approx(20.5, abs=0.05)
    assert noise.means[19] == pytest.approx(19.5, abs=0.05)


def test_seed_that_no_repeated_network_had_is_not_corrected() -> None:
    np.testing.assert_allclose(together([*TWO, (2, 5, 2.2)]).means, [1.5, 2.1, 2.2])


def test_where_each_network_has_seeds_of_its_own_their_noise_is_known() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (net, 10 * net + seed, net + rng.normal(0, 0.1)) for net in range(30) for seed in range(4)
    ]
    noise = together(rows)
    assert noise.paired == pytest.approx(0.1, rel=0.2)
    assert noise.alone == pytest.approx(noise.paired)
    assert noise.freedom == 90


def test_a_seed_with_which_networks_were_chosen_does_not_seem_easy() -> None:
    """The best of fifty by the first seed get two more; by them alone it looks far easier."""
    naive, found = [], []
    for draw in range(60):
        rng = np.random.default_rng(draw)
        values = rng.normal(0, 1, (50, 3)) + rng.normal(0, 0.5, (50, 1))
        best = np.argsort(values[:, 0])[:8]
        rows = [(net, 0, values[net, 0]) for net in range(50)]
        rows += [(int(net), seed, values[net, seed]) for net in best for seed in (1, 2)]
        effects = together(rows).effects
        found.append(effects[0] - np.mean([effects[1], effects[2]]))
        naive.append(values[best, 0].mean() - values[best, 1:].mean())
    assert np.mean(naive) < -0.8
    assert abs(np.mean(found)) < 0.2


def test_exact_network_is_marked_and_neither_corrected_nor_counted() -> None:
    noise = together([*TWO, (2, 0, 3.0), (2, 1, 3.0)])
    np.testing.assert_allclose(noise.means, [1.5, 2.1, 3.0])
    assert noise.exact.tolist() == [False, False, True]
    assert noise.paired == pytest.approx(0.1)


def test_one_trial_is_not_called_exact() -> None:
    assert not together([(0, 0, 3.0)]).exact.any()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(0, 0, 1.0)],
        [(0, 0, 1.0), (1, 0, 2.0)],
        [(0, 0, 1.0), (1, 1, 2.0)],
        [(0, 0, 1.0), (0, 1, 1.0), (1, 0, 2.0)],
    ],
)
def test_without_repeats_the_noise_is_unknown(rows: list[Row]) -> None:
    noise = together(rows)
    assert math.isnan(noise.alone)
    assert math.isnan(noise.paired)
    means = {net: value for net, _, value in rows}
    np.testing.assert_array_equal(noise.means, [means[net] for net in sorted(means)])


def test_one_repeated_network_tells_the_noise_with_seeds_of_its_own() -> None:
    noise = together([(0, 0, 1.0), (0, 1, 3.0), (1, 2, 5.0)])
    assert noise.alone == noise.paired == pytest.approx(math.sqrt(2))
    np.testing.assert_allclose(noise.means, [2.0, 5.0])
