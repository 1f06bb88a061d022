"""Each kind of claim, in some hundred simulated worlds: how often it is false."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from benchmarks.claims.rates import CLAIMS, measure
from benchmarks.claims.tally import Tally, rate_interval
from benchmarks.claims.worlds import FAMILIES, NULL, make_world, search

pytestmark = pytest.mark.xdist_group("rates")


@pytest.fixture(scope="module")
def searched() -> dict[str, dict[str, Tally]]:
    """What searches claim where nothing is to be found, and where something is."""
    return measure("search", 30, ("null", "worse", "saturated", "heavy"), seed=11)


def together(tallies: dict[str, Tally], *families: str) -> Tally:
    whole = Tally()
    for family in families:
        whole.add(tallies[family])
    return whole


@pytest.mark.parametrize("claim", ["beats_plain", "beats_placed", "no_worse"])
def test_of_what_is_not_there_little_is_claimed(
    searched: dict[str, dict[str, Tally]], claim: str
) -> None:
    """At most 5 % of fronts; with so few worlds, 8 %."""
    assert together(searched[claim], "null", "worse").false_rate <= 0.08
    assert together(searched[claim], "saturated", "heavy").false_rate <= 0.08


def test_what_is_there_is_found(searched: dict[str, dict[str, Tally]]) -> None:
    assert together(searched["beats_plain"], "saturated", "heavy").power > 0.3
    assert together(searched["beats_placed"], "saturated", "heavy").power > 0.5


def test_intervals_hold_what_they_say(searched: dict[str, dict[str, Tally]]) -> None:
    assert 0.85 < together(searched["gain_interval"], "saturated", "heavy").coverage < 0.96
    assert together(searched["gain_interval"], "null").coverage > 0.87
    assert together(searched["loss_interval"], *searched["loss_interval"]).coverage > 0.91


def test_chances_come_as_often_as_they_say(searched: dict[str, dict[str, Tally]]) -> None:
    better = together(searched["p_better"], "saturated", "heavy")
    assert np.mean(better.stated) == pytest.approx(np.mean(better.came), abs=0.08)
    best = together(searched["at"], "saturated", "heavy", "worse")
    assert np.mean(best.stated) == pytest.approx(np.mean(best.came), abs=0.15)


def test_the_first_seed_does_not_seem_easy(searched: dict[str, dict[str, Tally]]) -> None:
    whole = together(searched["seeds"], *searched["seeds"])
    assert abs(np.mean(whole.figures["first seed, sd"])) < 0.15  # -0.33 by lucky networks alone


@pytest.mark.slow
def test_full_training_claims_little_of_nothing_and_much_of_something() -> None:
    for judged in ("by accuracy", "by loss"):
        found = measure("full", 60, ("null", "saturated"), seed=12)
        assert found[f"full {judged}"]["null"].false_rate <= 0.09
        assert found[f"full {judged}"]["saturated"].power > 0.8
        assert found[f"full intervals, {judged}"]["null"].coverage > 0.88


@pytest.mark.slow
def test_choosing_by_the_images_that_judge_makes_no_false_claims() -> None:
    for judged in ("by accuracy, untested", "by loss, untested"):
        found = measure("full-untested", 60, ("null", "saturated"), seed=14)
        assert found[f"full {judged}"]["null"].false_rate <= 0.09
        assert found[f"full {judged}"]["saturated"].power > 0.8


@pytest.mark.slow
def test_of_two_searches_without_a_difference_neither_is_ahead() -> None:
    found = measure("compare", 40, ("null", "rugged"), seed=13)["compare"]
    assert found["null"].false_rate <= 0.13
    assert together(found, "null", "rugged").coverage > 0.88


@pytest.mark.slow
def test_agreement_is_not_made_by_the_same_images() -> None:
    found = measure("agreement", 12, ("additive", "saturated"), seed=14)
    whole = together(found["agreement"], "additive", "saturated")
    assert whole.coverage > 0.8
    assert abs(np.mean(whole.figures["too high"])) < 0.05
    assert together(found["ceiling"], "additive", "saturated").coverage > 0.7


@pytest.mark.slow
def test_the_same_images_make_no_worthless_proxy_trustworthy() -> None:
    """Where images weigh most: searched networks that differ by nothing, or by little."""
    found = measure("calibration", 8, ("null", "additive"), seed=16)
    before = together(found["worthless, same images"], "null", "additive")
    now = together(found["worthless, halves"], "null", "additive")
    assert now.false <= 2 and now.false <= before.false
    assert found["truthful, halves"]["additive"].power > 0.7


def test_the_belief_claims_by_the_same_functions() -> None:
    found = measure("belief", 12, ("null", "saturated"), seed=15)
    assert found["belief beats_plain"]["null"].false <= 2
    assert found["belief interval"]["saturated"].coverage > 0.8


@pytest.mark.parametrize("family", FAMILIES)
def test_a_world_is_what_its_family_says(family: str) -> None:
    rng = np.random.default_rng(0)
    world = make_world(rng, family)
    study = search(world, rng)
    gain = world.gain(study.codes)
    assert gain[0] == 0 and study.names[0] == "plain"
    assert len(np.unique(study.codes, axis=0)) == len(study.codes)
    if family in NULL:
        assert gain.max() <= 0
    else:
        assert gain.std() > 0
    repeats = np.bincount(study.network)
    assert (repeats[: world.kinds + 1] == 3).all() and repeats.min() == 1


def test_a_rate_by_hand() -> None:
    low, high = rate_interval(0, 10)
    assert low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert rate_interval(10, 10)[1] == 1


def test_a_tally_counts() -> None:
    tally = Tally()
    tally.claim(made=True, false=False, possible=True)
    tally.claim(made=True, false=True, possible=True)
    tally.interval(0, 1, 0.5)
    tally.interval(0, 1, 2)
    tally.interval(float("nan"), 1, 2)
    tally.chance(0.5, came=True)
    tally.chance(0.5, came=False)
    assert (tally.false_rate, tally.power, tally.coverage) == (0.5, 0.5, 0.5)
    assert tally.miscalibration(1) == 0
    assert set(CLAIMS) >= {"search", "full", "full-untested", "compare", "agreement", "belief"}
    assert isinstance(defaultdict(Tally)["new"], Tally)


@pytest.mark.slow
def test_what_is_said_of_a_figure_that_the_loss_tells_loosely_holds() -> None:
    """Such as mIoU: seeds, images and networks move it beside the loss."""
    found = measure("figure", 8, ("null", "additive", "heavy", "interacting"), seed=5)
    for name in ("searched", "trained fully", "beside those"):
        whole = together(found[f"figure interval, {name}"], *found[f"figure interval, {name}"])
        assert whole.coverage > 0.86
    sure = together(found["figure surely better, trained fully"], "additive", "heavy")
    assert np.mean(sure.came) > 0.95
