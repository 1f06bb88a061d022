from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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


def least_squares(rows: list[Row]) -> NDArray[np.float64]:
    """The obvious twin: value = network + seed from the repeated networks, seeds sum to zero."""
    nets = max(net for net, _, _ in rows) + 1
    seeds = max(seed for _, seed, _ in rows) + 1
    count = np.bincount([net for net, _, _ in rows])
    design, wanted = [], []
    for net, seed, value in rows:
        if count[net] > 1:
            design.append(np.eye(nets)[net].tolist() + np.eye(seeds)[seed].tolist())
            wanted.append(value)
    effects = np.linalg.lstsq(np.array(design), np.array(wanted), rcond=None)[0][nets:]
    effects -= effects.mean()
    fair = [[value - effects[seed] for n, seed, value in rows if n == net] for net in range(nets)]
    return np.array([np.mean(values) for values in fair])


def exact_free(rows: list[Row]) -> bool:
    return not together(rows).exact.any()


@given(studies().filter(exact_free))
@settings(deadline=None)
def test_means_are_those_of_least_squares(rows: list[Row]) -> None:
    np.testing.assert_allclose(together(rows).means, least_squares(rows), atol=1e-5)


@given(studies().filter(exact_free), st.integers(0, 3), st.floats(-5, 5))
@settings(deadline=None)
def test_an_easy_seed_changes_no_difference(rows: list[Row], easy: int, by: float) -> None:
    shifted = [(net, seed, value + by * (seed == easy)) for net, seed, value in rows]
    assume(exact_free(shifted))
    before, after = together(rows), together(shifted)
    np.testing.assert_allclose(
        after.means - after.means[0], before.means - before.means[0], atol=1e-4
    )
    assert after.paired == pytest.approx(before.paired, abs=1e-4, nan_ok=True)


@given(studies(), st.randoms())
@settings(deadline=None)
def test_order_of_rows_and_names_of_seeds_do_not_matter(rows: list[Row], random: object) -> None:
    again = [(net, 1_000_003 * (7 - seed), value) for net, seed, value in rows]
    random.shuffle(again)  # type: ignore[attr-defined]
    before, after = together(rows), together(again)
    np.testing.assert_allclose(after.means, before.means, atol=1e-5)
    assert after.alone == pytest.approx(before.alone, nan_ok=True)
    assert after.paired == pytest.approx(before.paired, abs=1e-5, nan_ok=True)


# Seed 1 costs 1.1 more than seed 0: the seeds' effects are -0.55 and +0.55. What is left of
# network 0 is +-0.05 and of network 1 -+0.05.
TWO = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 1.5), (1, 1, 2.7)]


def test_balanced_seeds_by_hand() -> None:
    noise = together(TWO)
    np.testing.assert_allclose(noise.means, [1.5, 2.1])
    assert noise.alone == pytest.approx(math.sqrt((0.5 + 0.72) / 2))
    assert noise.paired == pytest.approx(math.sqrt(4 * 0.05**2 / 1))
    assert not noise.exact.any()


def test_network_with_the_hard_seed_alone_is_not_blamed_for_it() -> None:
    noise = together([*TWO, (2, 1, 2.2), (3, 0, 1.2)])
    np.testing.assert_allclose(noise.means, [1.5, 2.1, 2.2 - 0.55, 1.2 + 0.55])
    assert noise.paired == pytest.approx(0.1)


def test_seed_that_no_repeated_network_had_is_not_corrected() -> None:
    np.testing.assert_allclose(together([*TWO, (2, 5, 2.2)]).means, [1.5, 2.1, 2.2])


def test_unbalanced_seeds_by_hand() -> None:
    # Without noise: networks 1, 2, 3 and seeds -1, 0, +1, of which each network lacks some.
    rows = [(0, 0, 0.0), (0, 1, 1.0), (0, 2, 2.0), (1, 0, 1.0), (1, 1, 2.0), (2, 1, 3.0)]
    noise = together([*rows, (2, 2, 4.0)])
    np.testing.assert_allclose(noise.means, [1, 2, 3], atol=1e-9)
    assert noise.alone > 0.5
    assert noise.paired == pytest.approx(0, abs=1e-9)


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


def test_one_repeated_network_tells_its_own_noise_but_not_that_of_differences() -> None:
    noise = together([(0, 0, 1.0), (0, 1, 3.0), (1, 0, 5.0)])
    assert noise.alone == pytest.approx(math.sqrt(2))
    assert math.isnan(noise.paired)
    np.testing.assert_allclose(noise.means, [2.0, 6.0])
