"""Rules that were put in are found again, and what the data cannot tell is said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from support.explained_runs import ADDED, LABELS, SAVED, SITES, front_of, records
from support.samples import make_record

from nas.base.errors import SpecError
from nas.belief.additive_model import _Evidence, fit
from nas.belief.additive_terms import TermDesign
from nas.report.explain import Explanation, advise, explain_front
from nas.report.explain.contrasts import to_architectures
from nas.report.explain.explanation import _steps
from nas.spec.architecture import Architecture, Insertion
from nas.study.record import PRUNED, Record


@pytest.fixture(scope="module")
def found() -> Explanation:
    return explain_front(front_of(records()))


def test_effects_of_kinds_and_stages_are_those_that_were_put_in(found: Explanation) -> None:
    kinds = {item.name: item for item in found.effects_of("kind")}
    stages = {item.name: item for item in found.effects_of("stage")}
    # Three of the five sites are in the stage where a block saves something.
    for kind, label in (("se", "se/r8"), ("coord", "coord/r32")):
        truth = SAVED[label] * 3 / 5
        assert kinds[kind].saved_low < truth < kinds[kind].saved_high
        assert kinds[kind].told == "helps"
    assert kinds["coord"].best > 0.95
    assert stages["blocks.2"].told == "helps"
    assert stages["blocks.1"].saved_low < 0 < stages["blocks.1"].saved_high
    assert stages["blocks.1"].told in {"about nothing", "not known"}
    assert kinds["coord"].latency_ms == pytest.approx(ADDED["coord/r32"], rel=0.1)
    assert kinds["coord"].tried > 10


def test_effects_of_ratios(found: Explanation) -> None:
    (ratio,) = found.effects_of("ratio")
    assert ratio.name == "se reduction 8 to 24"
    assert ratio.saved_low < 0 < ratio.saved_high
    assert ratio.latency_high < 0
    assert ratio.latency_ms == pytest.approx(ADDED["se/r24"] - ADDED["se/r8"], rel=0.2)


def test_a_ratio_is_compared_between_blocks_alike_in_all_else() -> None:
    labels = ("cbam/r8/k3", "cbam/r8/k7", "cbam/r24/k3", "cbam/r24/k7")
    networks = [
        Architecture("net", insertions=(Insertion.of("blocks.0/after_depthwise", label),))
        for label in labels
    ]
    ratios = TermDesign.of(networks).ratios
    # The order is no set's: it would be another in each process, and another effect with it.
    assert {name: tuple(places) for name, places in ratios.items()} == {
        "cbam kernel_size": labels,
        "cbam reduction": labels,
    }
    assert _steps(ratios["cbam kernel_size"], "kernel_size") == [
        ("cbam/r8/k3", "cbam/r8/k7"),
        ("cbam/r24/k3", "cbam/r24/k7"),
    ]
    confounded = {"cbam/r8/k3": -0.5, "cbam/r24/k7": 0.5}
    assert _steps(confounded, "reduction") == [("cbam/r8/k3", "cbam/r24/k7")]


def test_intervals_hold_the_truth_about_as_often_as_they_say(found: Explanation) -> None:
    inside = []
    for item in found.effects_of("site and kind"):
        site, kind = item.name.split("|")
        label = {"se": "se/r8", "coord": "coord/r32"}[kind]
        truth = SAVED[label] if "blocks.2" in site else 0.0
        inside.append(item.saved_low <= truth <= item.saved_high)
    assert np.mean(inside) >= 0.8


def test_few_noisy_networks_leave_most_unknown() -> None:
    found = explain_front(front_of(records(12, noise=0.05)))
    told = [item.told for item in found.effects_of("site and kind")]
    assert told.count("not known") > 0.6 * len(told)


def test_an_interaction_is_used_where_it_predicts_better_and_not_elsewhere(
    found: Explanation,
) -> None:
    assert found.terms.interactions == ()
    crowded = explain_front(front_of(records(crowding=0.01)))
    assert crowded.terms.interactions
    assert crowded.gained["crowding"] > 10


def test_order_of_trials_hardly_matters(found: Explanation) -> None:
    again = explain_front(front_of(list(reversed(records()))))
    one, two = (
        {item.name: item.saved for item in each.effects_of("kind")} for each in (found, again)
    )
    assert one == pytest.approx(two, abs=5e-4)


NOTHING: list[tuple[list[Record], str]] = [
    ([], "0 networks are complete; rules need 8"),
    ([make_record(0, failure="diverged")], "0 networks are complete"),
    (
        [replace(make_record(n, name=str(n)), state=PRUNED) for n in range(20)],
        "0 networks are complete",
    ),
    (records(4), "rules need 8 or more"),
]


@pytest.mark.parametrize(("rows", "said"), NOTHING, ids=["none", "failed", "pruned", "few"])
def test_too_few_networks_are_one_line(rows: list[Record], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        explain_front(front_of(rows))


# What to put where.


def all_networks(found: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """Predicted loss and latency of every network that the rules can speak of."""
    sizes = [range(len(labels)) for labels in found.terms.labels]
    codes = np.array([(0, *row) for row in product(*sizes)])
    loss = found.loss.intercept + found.terms.rows(codes) @ found.loss.mean
    latency = found.latency.intercept + found.latency_terms.rows(codes) @ found.latency.mean
    return loss, latency


@pytest.mark.parametrize("budget", [0.21, 0.27, 0.33, 0.5])
def test_advice_is_the_best_of_all_networks_by_the_rules(found: Explanation, budget: float) -> None:
    loss, latency = all_networks(found)
    best = loss[latency <= budget].min()
    advice = advise(found, budget)
    assert advice.latency_ms <= budget
    chosen = found.terms.codes([advice.architecture])
    predicted = found.loss.intercept + (found.terms.rows(chosen) @ found.loss.mean)[0]
    assert predicted <= best + 0.003  # a tenth of what one good block saves
    assert advice.saved_low < advice.saved < advice.saved_high
    assert all(item.label in LABELS and item.site in SITES for item in advice.architecture.blocks)


def test_advice_keeps_the_number_of_insertions(found: Explanation) -> None:
    advice = advise(found, 1.0, max_insertions=2)
    assert len(advice.architecture.blocks) == 2
    assert {item.label for item in advice.architecture.blocks} == {"coord/r32"}
    assert all("blocks.2" in item.site for item in advice.architecture.blocks)


def test_advice_for_an_impossible_budget_is_one_line(found: Explanation) -> None:
    with pytest.raises(SpecError, match=r"no network takes 0.01 ms or less; the fastest takes"):
        advise(found, 0.01)


# The model.


def test_the_gradient_is_that_of_the_cost() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (2, 12, 4)).astype(float)
    shared = np.array([one @ one.T for one in rows])
    noise = rng.uniform(0.3, 1, 12)
    common = np.outer(rng.standard_normal(12), np.ones(12))
    model = _Evidence(
        shared, rng.standard_normal(12), noise, common @ common.T, np.full(4, -1.0), np.full(4, 1.5)
    )
    at = np.array([-0.5, -1.0, -1.5, -0.7])
    slopes = [(model.cost(at + step) - model.cost(at - step)) / 2e-5 for step in 1e-5 * np.eye(4)]
    assert model.cost_and_gradient(at)[1] == pytest.approx(slopes, rel=1e-5)


def test_known_terms_are_found_and_those_without_data_stay_wide() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.integers(0, 2, (80, 3)), np.zeros((80, 1))], axis=1).astype(float)
    values = 5 + rows @ [1.0, -0.5, 0.0, 0.0] + rng.normal(0, 0.1, 80)
    model = fit(rows, np.zeros(4, dtype=np.int64), values)
    mean, deviation = model.effect(np.eye(4))
    assert np.abs(mean - [1.0, -0.5, 0.0, 0.0]).max() < 0.1
    assert deviation[3] > 5 * deviation[:3].max()
    assert model.intercept == pytest.approx(5.0, abs=0.1)


def test_noise_that_is_known_is_not_taken_for_effects() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2, (30, 20)).astype(float)
    values = rng.normal(0, 1.0, 30)
    model = fit(rows, np.zeros(20, dtype=np.int64), values, noise=1.0, freedom=1000)
    mean, deviation = model.effect(np.eye(20))
    assert (np.abs(mean) < 1.96 * deviation).mean() >= 0.95


def test_what_networks_err_by_together_is_no_effect() -> None:
    """Thirty times the same trained networks beside plain ones, off by one common draw."""
    rng = np.random.default_rng(3)
    rows = np.repeat([[1.0], [0.0]], 20, axis=0)
    inside = {0.0: 0, 0.5: 0}
    for _ in range(30):
        values = rows[:, 0] * rng.normal(0, 0.5) + rng.normal(0, 0.1, 40)
        for error in inside:
            model = fit(rows, np.zeros(1, dtype=np.int64), values, errors=error * rows)
            mean, deviation = model.effect(np.eye(1))
            inside[error] += bool(abs(mean[0]) < 1.96 * deviation[0])
    assert inside[0.0] < 15 and inside[0.5] >= 27


def test_draws_have_the_moments_that_are_said() -> None:
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 2, (40, 3)).astype(float)
    model = fit(rows, np.zeros(3, dtype=np.int64), rows @ [1.0, 2.0, 3.0] + rng.normal(0, 0.1, 40))
    mean, deviation = model.effect(np.eye(3))
    drawn = model.draws(np.eye(3), 20_000)
    assert np.allclose(drawn.mean(axis=0), mean, atol=0.01)
    assert np.allclose(drawn.std(axis=0), deviation, rtol=0.05)


def test_networks_of_several_shapes_are_told_apart() -> None:
    shapes = ("64x32", 32, "32x64", 9)
    design = TermDesign.of([Architecture("net", size) for size in shapes])
    assert design.networks == (("net", 9), ("net", 32), ("net", "32x64"), ("net", "64x32"))
    found = to_architectures(design, np.arange(4)[:, None], Architecture("net"))
    assert [network.resolution for network in found] == [9, 32, "32x64", "64x32"]
