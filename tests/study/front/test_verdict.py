from __future__ import annotations

import numpy as np
import pytest
from study.test_width_belief import train_fully
from support.samples import make_record

from nas.spec.objective import objectives_named
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.front.verdict import Verdict, judge
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

Network = tuple[str, float, float]  # name, loss, latency_ms

# What the three seeds do to each network: a standard deviation of 0.01, and not alike.
JITTER = {
    "a": (0.01, -0.01, 0.0),
    "b": (-0.01, 0.0, 0.01),
    "c": (0.0, 0.01, -0.01),
    "d": (-0.01, 0.0, 0.01),
}
REFERENCES = {"plain": "plain", "b": "se"}


def front_of(*networks: Network, seeds: int = 3, **more: object) -> Front:
    """The plain one repeats exactly, as under a probe; `b` is hand-placed."""
    records: list[Record] = []
    for name, loss, latency_ms in networks:
        for seed in range(seeds):
            records.append(
                make_record(
                    len(records),
                    name=name,
                    loss=loss + JITTER.get(name, (0.0, 0.0, 0.0))[seed],
                    latency_ms=latency_ms,
                    seed=seed,
                    repeat=seed,
                    reference=REFERENCES.get(name),
                    **more,
                )
            )
    return Front.of(Trials.of(records), objectives_named(["loss", "latency_ms"]))


def verdict_on(*networks: Network, seeds: int = 3, **more: object) -> Verdict:
    return judge(front_of(*networks, seeds=seeds, **more))


def said(verdict: Verdict) -> str:
    return " ".join(verdict.lines)


def test_clear_win() -> None:
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0))
    assert verdict.clear
    assert "1 of 1 networks on the front lose less than the plain one" in said(verdict)
    assert "beat hand-placed se: lower in loss" in said(verdict)
    assert "INSIDE THE NOISE" not in said(verdict)


def test_of_several_runs_the_hand_placed_are_named_with_theirs() -> None:
    networks = (("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0))
    fronts = {"runs/one": front_of(*networks), "runs/two": front_of(*networks)}
    found = said(judge(Front.joined(fronts)))
    assert "beat hand-placed se of runs/one, se of runs/two: lower in loss" in found


def test_difference_inside_the_noise_is_no_win() -> None:
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.999, 2.0), ("b", 0.998, 3.0))
    assert not verdict.clear
    assert "0 of 2 networks on the front lose less" in said(verdict)
    assert "No searched network is shown to be better than hand-placed se." in said(verdict)
    assert "INSIDE THE NOISE" in verdict.lines[-1]


@pytest.mark.parametrize(("saved", "clear"), [(0.014, False), (0.05, True)])
def test_a_difference_counts_beyond_what_seeds_make(saved: float, clear: bool) -> None:
    # a, c and d vary by 0.01 between seeds, so the mean of three by 0.01 / sqrt(3), which is known
    # to few degrees of freedom.
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 1 - saved, 2.0), ("c", 1.5, 3), ("d", 1.5, 3))
    assert "loss of one network varies by ±0.0100" in said(verdict)
    assert verdict.clear is clear


def test_the_seed_that_chose_a_network_is_no_evidence_for_it() -> None:
    """Forty networks that differ in nothing but luck: the six that look best get two more seeds."""
    rng = np.random.default_rng(0)
    wins = 0
    for _ in range(60):
        losses = rng.normal(1.0, 0.01, (41, 3))
        best = np.argsort(losses[1:, 0])[:6] + 1
        records: list[Record] = []
        for network in (0, *best):
            for seed in range(3):
                records.append(
                    make_record(
                        len(records),
                        name=f"n{network}",
                        loss=float(losses[network, seed]),
                        latency_ms=2.0 - 0.001 * network,
                        seed=seed,
                        repeat=seed,
                        reference="se" if network == 0 else None,
                    )
                )
        front = Front.of(Trials.of(records), objectives_named(["loss", "latency_ms"]))
        wins += judge(front).clear
    assert wins <= 4  # of 60; 13 when the first seed counts and each comparison by itself


def test_noise_of_validation_images_counts_too() -> None:
    networks = ("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0)
    assert verdict_on(*networks, loss_sem=0.1).clear
    verdict = verdict_on(*networks, loss_sem=0.5)
    assert not verdict.clear
    assert "INSIDE THE NOISE" in said(verdict)


def test_slower_network_does_not_beat_a_hand_placed_one() -> None:
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.5, 3.0), ("b", 0.9, 2.0))
    assert "beat hand-placed" not in said(verdict)
    assert "No searched network is shown to be better than hand-placed se." in said(verdict)


def test_faster_at_the_same_loss_is_said_apart_from_lower_loss() -> None:
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.999, 2.0), ("b", 0.999, 3.0))
    assert "faster than hand-placed se (-33%); the loss that it saves" in said(verdict)
    assert "INSIDE THE NOISE" in said(verdict)


def test_faster_by_less_than_the_spread_of_latency_is_not_faster() -> None:
    verdict = verdict_on(
        ("plain", 1.0, 1.0), ("a", 0.999, 2.8), ("b", 0.999, 3.0), latency_spread=0.05
    )
    assert "No searched network is shown to be better than hand-placed se." in said(verdict)


def test_single_seed_leaves_the_noise_unknown() -> None:
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0), seeds=1)
    assert not verdict.clear
    assert "so the noise is unknown" in said(verdict)
    assert "search.confirm_seeds" in said(verdict)


def test_of_shared_weights_no_further_seeds_are_asked_for() -> None:
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0), trained=False)
    assert not verdict.clear
    assert "inherit the weights of one training" in said(verdict)
    assert "confirm_seeds" not in said(verdict)


def test_three_seeds_are_not_called_one() -> None:
    # One trained network alone cannot tell what seeds do to differences.
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.5, 2.0))
    assert "one seed" not in said(verdict)


def test_without_hand_placed_networks_nothing_is_said_of_them() -> None:
    verdict = verdict_on(("a", 0.5, 2.0), ("c", 0.9, 1.0))
    assert "hand-placed" not in said(verdict)
    assert "plain" not in said(verdict)


@pytest.mark.parametrize("left", ["trial == 0", "not reference", "reference == 'se'"])
def test_what_is_left_alone_is_compared_with_nothing(left: str) -> None:
    front = front_of(("plain", 1.0, 1.0), ("a", 0.5, 1.5), ("b", 0.8, 2.0))
    assert judge(front).clear
    told = judge(front.where(left))
    assert not told.clear and "INSIDE" not in said(told) and "No searched" not in said(told)
    assert told.lines[-1] == "There is nothing here to compare their losses with."


def test_one_network_that_beats_all_others_is_a_clear_win() -> None:
    verdict = verdict_on(("plain", 1.0, 2.0), ("a", 0.5, 1.0), ("b", 0.8, 2.5))
    assert verdict.clear and "nothing here to compare" not in said(verdict)


def test_a_front_of_the_plain_network_alone_is_still_a_verdict_on_the_others() -> None:
    verdict = verdict_on(("plain", 0.5, 1.0), ("a", 1.0, 2.0), ("b", 0.8, 2.5))
    assert not verdict.clear and "No network is shown to lose less than" in verdict.lines[-1]
    assert "No searched network is shown to be better than hand-placed se" in said(verdict)


@pytest.mark.parametrize("records", [[], [make_record(0, failure="diverged")]])
def test_no_member(records: list[Record]) -> None:
    front = Front.of(Trials.of(records), objectives_named(["loss", "latency_ms"]))
    told = ("No trial is complete: there is no front.",)
    assert judge(front) == Verdict((), told, told, (), clear=False)


@pytest.mark.parametrize(("worse", "told"), [(7, True), (3, False)])
def test_networks_that_training_left_worse_are_pointed_out(worse: int, told: bool) -> None:
    others = [(f"n{number}", 1.2 if number < worse else 0.9, 1.0 + number) for number in range(8)]
    verdict = verdict_on(("plain", 1.0, 1.0), ("a", 0.95, 1.5), ("b", 0.9, 3.0), *others)
    assert ("by what it spoils" in said(verdict)) == told
    if told:
        assert f"{worse} of 10 networks with attention lose more" in said(verdict)


@pytest.mark.parametrize(("seeds", "told"), [(1, False), (2, True)])
def test_a_belief_without_repeats_claims_nothing(seeds: int, told: bool) -> None:
    records = [
        make_record(
            number + 5 * seed, name=name, reference=reference, loss=loss, repeat=seed, seed=seed
        )
        for seed in range(seeds)
        for number, (name, reference, loss) in enumerate(
            [
                ("plain", "plain", 1.0),
                ("hand", "se", 1.1),
                *((f"n{i}", None, 0.5) for i in range(3)),
            ]
        )
    ]
    trials = Trials.of(records)
    belief = NetworkBelief.of(trials, Budgets("start", (1000.0,), 1000.0, 2000.0))
    front = Front.of(trials, objectives_named(["loss", "latency_ms"]), belief=belief)
    assert ("so the noise is unknown" not in said(judge(front))) == told


def test_a_network_that_was_trained_fully_needs_no_further_seeds() -> None:
    records = [
        make_record(0, name="plain", reference="plain", loss=1.0),
        make_record(1, name="a", loss=0.7),
        make_record(2, name="a", loss=0.7, repeat=1, seed=1),
        train_fully(make_record(3, name="b", loss=0.6, latency_ms=0.5), [0.4]),
        make_record(4, name="c", loss=0.5, latency_ms=0.4),
    ]
    objectives = objectives_named(["loss", "latency_ms"])
    front = Front.of(Trials.of(records), objectives, least_seeds=2)
    assert [point.trial for point in front.members] == [3]
