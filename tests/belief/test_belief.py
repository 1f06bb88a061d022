"""The belief about gains by full training: what it says of little, broken and contrary evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.belief.belief import Belief
from nas.belief.evidence import EPOCH, Evidence
from nas.belief.grid import Codes, Floats, Grid
from nas.belief.points import PointSpace
from nas.belief.terms import Place, SharedTerms

LABELS = ("none", "se/r8", "coord/r8", "eca")
SITES, FULL = 6, 600_000.0
GRID = Grid({f"site {number}": LABELS for number in range(SITES)})
TERMS = SharedTerms(GRID, [Place(f"stage {number // 2}", number / 5, 1) for number in range(SITES)])
SPACE = PointSpace(
    GRID,
    terms=TERMS,
    groups=TERMS.groups,
    load=TERMS.load,
    reference=np.zeros(SITES, dtype=np.int64),
)
PLAIN = np.zeros((1, SITES), dtype=np.int64)
WORTH = np.array([0.0, 0.004, 0.012, 0.0])


def truth(codes: Codes) -> Floats:
    """Coordinate attention pays early, and what is put everywhere saturates."""
    raw = (WORTH[codes] * np.linspace(1.5, 0.3, SITES)).sum(axis=1)
    return np.asarray(0.06 * np.tanh(raw / 0.06))


def networks(count: int, seed: int = 0) -> Codes:
    rng = np.random.default_rng(seed)
    many = rng.random((count, SITES)) < rng.random((count, 1))
    codes = np.where(many, rng.integers(0, len(LABELS), (count, SITES)), 0)
    codes[: min(2, count)] = 0
    return codes.astype(np.int64)


def trained(codes: Codes, noise: float = 0.01, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    gains, count = truth(codes), len(codes)
    errors = noise * rng.standard_normal(count)
    return Evidence(
        codes,
        ["full"] * count,
        np.full(count, FULL),
        np.arange(count),
        np.arange(count),
        0.7 - gains + errors,
        0.75 + 0.4 * gains - 0.4 * errors + 0.002 * rng.standard_normal(count),
    )


def fit(evidence: Evidence) -> Belief:
    return Belief.fit(SPACE, evidence, target_images=FULL)


def test_it_predicts_networks_that_were_never_trained_and_knows_how_well() -> None:
    belief, new = fit(trained(networks(60))), networks(400, seed=9)
    gain, metric = belief.gain(new), belief.metric_gain(new)
    assert np.corrcoef(gain.mean, truth(new))[0, 1] > 0.85
    within = np.abs(gain.mean - truth(new)) < 1.645 * gain.deviation
    assert within.mean() > 0.8
    assert (np.abs(metric.mean - 0.4 * truth(new)) < 1.645 * metric.deviation).mean() > 0.8
    assert belief.metric_per_loss == pytest.approx(0.4, abs=0.1)


def test_the_plain_network_gains_exactly_nothing() -> None:
    belief = fit(trained(networks(30)))
    assert belief.gain(PLAIN).mean[0] == pytest.approx(0.0, abs=1e-9)
    assert belief.gain(PLAIN).deviation[0] < 1e-6
    assert np.abs(belief.draws(PLAIN, 10)).max() < 1e-6


def test_its_draws_have_its_moments_and_are_repeatable() -> None:
    belief, new = fit(trained(networks(30))), networks(6, seed=4)
    drawn, gain = belief.draws(new, 6000), belief.gain(new)
    assert drawn.mean(axis=0) == pytest.approx(gain.mean, abs=0.002)
    assert drawn.std(axis=0) == pytest.approx(gain.deviation, rel=0.15, abs=1e-4)
    assert (belief.draws(new, 5, seed=1) == belief.draws(new, 5, seed=1)).all()
    better = belief.p_better(new[2], new[3])
    assert better == pytest.approx((drawn[:, 2] > drawn[:, 3]).mean(), abs=0.05)


def test_more_trainings_of_the_plain_network_narrow_every_gain() -> None:
    codes = networks(24)
    few = fit(trained(codes, noise=0.03))
    oftener = trained(np.concatenate([codes, np.repeat(PLAIN, 12, axis=0)]), noise=0.03)
    more = few.given(oftener, target_images=FULL)
    new = networks(50, seed=5)
    assert more.gain(new).deviation.mean() < few.gain(new).deviation.mean()


def test_without_any_training_it_is_the_prior() -> None:
    belief = fit(trained(networks(0)))
    gain = belief.gain(networks(20, seed=1))
    assert gain.mean == pytest.approx(0.0, abs=1e-6)
    assert (gain.deviation[2:] > 0).any() and np.isfinite(gain.deviation).all()
    assert np.isnan(belief.metric_gain(PLAIN).mean).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_training_or_two_say_little(count: int) -> None:
    gain = fit(trained(networks(4)[-count:])).gain(networks(20, seed=1))
    assert np.isfinite(gain.mean).all() and np.isfinite(gain.deviation).all()


def test_equal_losses_are_no_gain() -> None:
    evidence = replace(trained(networks(20)), loss=np.full(20, 0.7), metric=np.full(20, 0.8))
    belief, new = fit(evidence), networks(20, seed=1)
    assert np.abs(belief.gain(new).mean).max() < 1e-6
    assert np.isfinite(belief.metric_gain(new).deviation).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_none_is_left_out(broken: float) -> None:
    evidence = trained(networks(30))
    loss = evidence.loss.copy()
    loss[[5, 9]] = broken
    kept = [row for row in range(30) if row not in (5, 9)]
    new = networks(20, seed=1)
    assert fit(replace(evidence, loss=loss)).gain(new).mean == pytest.approx(
        fit(evidence[np.array(kept)]).gain(new).mean
    )


def test_one_loss_a_million_times_too_large_does_not_spoil_the_rest() -> None:
    evidence = trained(networks(40))
    loss = evidence.loss.copy()
    loss[7] = 7e5
    new = networks(200, seed=1)
    gain = fit(replace(evidence, loss=loss)).gain(new)
    assert np.corrcoef(gain.mean, truth(new))[0, 1] > 0.4


def test_all_losses_a_million_times_larger_are_only_another_unit() -> None:
    evidence, new = trained(networks(30)), networks(20, seed=1)
    one = fit(evidence).gain(new)
    large = fit(replace(evidence, loss=1e6 * evidence.loss)).gain(new)
    assert large.mean == pytest.approx(1e6 * one.mean, rel=1e-3, abs=1.0)


def test_a_proxy_that_says_the_contrary_is_outvoted_by_full_training() -> None:
    codes = networks(40)
    full, proxy = trained(codes), trained(codes, seed=1)
    both = Evidence(
        np.concatenate([codes, codes]),
        [*full.source, *["probe"] * 40],
        np.concatenate([full.images, np.full(40, np.nan)]),
        np.arange(80),
        np.arange(80),
        np.concatenate([full.loss, 2 * 0.3 - 0.1 * proxy.loss]),
        np.concatenate([full.metric, np.full(40, np.nan)]),
    )
    new = networks(200, seed=1)
    assert np.corrcoef(fit(both).gain(new).mean, truth(new))[0, 1] > 0.8


def test_loss_and_accuracy_may_go_different_ways_as_where_trainings_overfit() -> None:
    evidence, new = trained(networks(50)), networks(100, seed=1)
    rising = replace(evidence, loss=0.7 + truth(evidence.codes))
    belief = fit(rising)
    assert np.corrcoef(belief.gain(new).mean, truth(new))[0, 1] < -0.8
    assert np.corrcoef(belief.metric_gain(new).mean, truth(new))[0, 1] > 0.8


def test_short_trainings_in_which_attention_is_behind_say_little() -> None:
    """A gain that shows early is one; a loss that shows early may be a slower start."""
    codes = networks(30)
    rows = trained(codes, noise=0.003)
    new = np.full((1, SITES), 2)
    chances = []
    for sign in (1.0, -1.0):
        loss = 1.5 - sign * truth(codes)
        short = replace(rows, source=["start"] * 30, images=np.full(30, FULL / 16), loss=loss)
        chances.append(float((fit(short).draws(new, 4000) > 0).mean()))
    assert chances[0] > 0.9
    assert chances[1] > 0.1


@pytest.mark.parametrize("noise", [0.0005, 0.01])
def test_a_probe_alone_never_tells_for_certain_what_full_training_gives(noise: float) -> None:
    """However little noise it has: how far it agrees with full training is not known."""
    codes = networks(40)
    rows = trained(codes, noise)
    probe = replace(rows, source=["probe"] * 40, images=np.full(40, np.nan))
    drawn = fit(probe).draws(networks(60, seed=1)[2:], 4000)
    above = (drawn > 0).mean(axis=0)
    assert 0.05 < above.min() and above.max() < 0.95
    assert above.max() > 0.7


def test_a_probe_beside_full_trainings_that_bear_it_out_tells_more() -> None:
    codes = networks(40)
    probe, full = trained(codes, 0.002), trained(codes[:12], 0.004, seed=1)
    both = Evidence(
        np.concatenate([codes, codes[:12]]),
        [*["probe"] * 40, *["full"] * 12],
        np.concatenate([np.full(40, np.nan), np.full(12, FULL)]),
        np.arange(52),
        np.arange(52),
        np.concatenate([0.3 + 0.4 * probe.loss, full.loss]),
        np.concatenate([probe.metric, full.metric]),
    )
    new = networks(200, seed=1)
    with_probe, without = (fit(item).gain(new).mean for item in (both, full))
    agreed = [np.corrcoef(mean, truth(new))[0, 1] for mean in (with_probe, without)]
    assert agreed[0] > agreed[1] and agreed[0] > 0.8


def _with_epochs(rows: Evidence, losses: np.ndarray) -> Evidence:
    """Trainings from the start, each with the mean training loss of its last epoch."""
    count, images = len(rows), np.full(len(rows), FULL / 4)
    twice = np.concatenate([np.arange(count), np.arange(count)])
    return Evidence(
        rows.codes[twice],
        [*["start"] * count, *[EPOCH["start"]] * count],
        np.concatenate([images, images]),
        rows.seed[twice],
        rows.training[twice],
        np.concatenate([rows.loss, losses]),
        np.concatenate([rows.metric, np.full(count, np.nan)]),
    )


def test_epoch_losses_tell_more_of_networks_whose_validation_is_noisy() -> None:
    codes, new = networks(40), networks(200, seed=1)
    rows = trained(codes, noise=0.04)
    own = 0.004 * np.random.default_rng(2).standard_normal(40)
    both = _with_epochs(rows, 1.2 - 0.8 * truth(codes) + own)
    start = both[np.arange(40)]
    with_epochs, without = (fit(item).gain(new).mean for item in (both, start))
    agreed = [np.corrcoef(mean, truth(new))[0, 1] for mean in (with_epochs, without)]
    assert agreed[0] > agreed[1] + 0.1


def test_epoch_losses_that_only_fit_the_training_images_better_prove_nothing() -> None:
    """Attention lowers the training loss everywhere, and what counts not at all."""
    codes = networks(40)
    rows = trained(codes, noise=0.02)
    equal = 0.7 + rows.loss - (0.7 - truth(codes))
    blocks = (codes > 0).mean(axis=1)
    drawn = fit(_with_epochs(replace(rows, loss=equal), 1.2 - 0.1 * blocks)).draws(codes[2:], 4000)
    assert (drawn > 0).mean(axis=0).max() < 0.95


def test_a_few_full_trainings_among_hundreds_of_probes_take_part_wherever_they_stand() -> None:
    # More rows than hyperparameters are fitted to; a draw of these left out the last.
    codes = networks(310)
    left_out = np.random.default_rng(0).permutation(310)[-4:]
    source, images = np.full(310, "probe", dtype=object), np.full(310, np.nan)
    source[left_out], images[left_out] = "full", FULL / 2
    same = np.zeros(310, dtype=np.int64)
    probes = replace(trained(codes), source=[str(name) for name in source], seed=same)
    new = networks(60, seed=9)
    gain = fit(replace(probes, images=images)).gain(new)
    assert np.corrcoef(gain.mean, truth(new))[0, 1] > 0.8


def test_some_rows_have_the_hyperparameters_of_all() -> None:
    relation = _with_epochs(trained(networks(3)), np.ones(3)).relation(FULL)
    alone = np.array([0])
    assert relation.part(alone).size == relation.size > relation[alone].size
