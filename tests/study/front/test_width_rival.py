"""Would width do better? What a front says of the plain network widened."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from study.test_full_training import CLEAR
from study.test_full_training import front_of as retrained_front
from study.test_width_belief import BUDGETS, WIDE, train_fully, widen
from support.samples import make_record

from nas.spec.objective import objectives_named
from nas.study.front.findings import Finding, Kind
from nas.study.front.front import Front
from nas.study.front.full_training_findings import full_training_findings
from nas.study.front.prose import sentence
from nas.study.front.verdict import compute_findings, findings_json, judge
from nas.study.front.width_rival import find_rival, find_winners, width_findings
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

PLAIN = (0.80, 0.82, 0.81)


def records_of(
    winner: Sequence[float], wide: Sequence[float], *, wide_ms: float = 1.48
) -> list[Record]:
    """A plain network, a winner of 1.5 ms, the plain one widened, one placed by hand; repeated."""
    short = [
        make_record(0, name="plain", reference="plain", loss=1.2, accuracy=0.4),
        make_record(1, name="a", loss=1.0, accuracy=0.5, latency_ms=1.5),
        widen(make_record(2, name="plain", loss=1.19, accuracy=0.41, latency_ms=wide_ms)),
        make_record(3, name="hand", reference="se/r24", loss=1.3, accuracy=0.4, latency_ms=1.6),
    ]
    full = [
        train_fully(record, losses) if losses else record
        for record, losses in zip(short, (PLAIN, winner, wide, ()), strict=True)
    ]
    again = [
        replace(record, trial=4 + place, repeat=1, seed=1, loss=(record.loss or 0) + 0.02)
        for place, record in enumerate(full)
    ]
    return [*full, *again]


def front_of(records: list[Record], *, regime: str = "scratch") -> Front:
    trials = Trials.of(records)
    return Front.of(
        trials,
        objectives_named(["loss", "latency_ms"]),
        belief=NetworkBelief.of(trials, BUDGETS),
        regime=regime,
    )


BETTER = ([0.50, 0.51, 0.50], [0.80, 0.81, 0.80])
WORSE = ([0.78, 0.79, 0.78], [0.50, 0.51, 0.50])
ALIKE = ([0.70, 0.72, 0.71], [0.71, 0.70, 0.72])


def the(kind: Kind, front: Front) -> Finding:
    return next(finding for finding in width_findings(front) if finding.kind is kind)


def test_the_rival_is_the_widest_that_is_no_slower() -> None:
    front = front_of(records_of(*BETTER))
    (winner,) = find_winners(front.points, front.points)
    rival = find_rival(winner, front.points)
    assert (winner.trial, rival and rival.trial) == (1, 2)
    slower = front_of(records_of(*BETTER, wide_ms=1.6))
    assert find_rival(winner, slower.points) is None
    # Within what latencies repeat to, it is as fast.
    assert find_rival(winner, front_of(records_of(*BETTER, wide_ms=1.52)).points) is not None


def test_a_hand_placed_network_on_the_front_is_asked_the_same() -> None:
    records = [
        replace(record, reference="se/r8" if record.reference is None else record.reference)
        for record in records_of(*BETTER)
    ]
    answer = the(Kind.WIDTH_CHECKED, front_of(records))
    assert answer.networks == ("se/r8",)


def test_a_winner_no_slower_than_the_plain_network_needs_no_rival() -> None:
    records = [
        replace(item, latency_ms=1.0) if item.reference is None else item
        for item in records_of(*BETTER)
    ]
    assert width_findings(front_of(records)) == ()


@pytest.mark.parametrize(
    ("trainings", "better", "worse", "says"),
    [
        (BETTER, ("trial 1",), (), "Would width do better? no, trial 1 is better"),
        (WORSE, (), ("trial 1",), "Would width do better? yes, better than trial 1"),
        (
            ALIKE,
            (),
            (),
            "Would width do better? It is not known: full training shows no difference",
        ),
    ],
)
def test_the_question_is_answered_by_full_trainings(
    trainings: tuple[list[float], list[float]],
    better: tuple[str, ...],
    worse: tuple[str, ...],
    says: str,
) -> None:
    front = front_of(records_of(*trainings))
    answer, difference = the(Kind.WIDTH_CHECKED, front), the(Kind.WIDTH_DIFFERENCE, front)
    assert (answer.networks, answer.worse_than) == (better, worse)
    assert sentence(answer).startswith(says)
    assert (difference.subject, difference.rival, difference.unit) == (
        "trial 1",
        "plain x1.2",
        "points",
    )
    assert difference.low < difference.estimate < difference.high
    assert (difference.is_above, difference.is_below) == (bool(better), bool(worse))
    assert difference.figure("latency_share") == pytest.approx(1.48 / 1.5 - 1)
    assert (difference.count("winner"), difference.count("rival")) == (3, 3)
    assert "beside plain x1.2, the plain network widened to its latency (-1%)" in sentence(
        difference
    )


def test_where_the_widest_was_not_trained_fully_a_narrower_one_that_was_is_the_rival() -> None:
    records = records_of(*WORSE, wide_ms=1.2)
    wider = widen(make_record(8, name="plain", loss=1.1, accuracy=0.45, latency_ms=1.49))
    front = front_of([*records, replace(wider, digest="wider", reference="plain x1.9")])
    difference = the(Kind.WIDTH_DIFFERENCE, front)
    assert difference.rival == "plain x1.2" and difference.is_below


@pytest.mark.parametrize("trainings", [([], []), ([0.5, 0.51], []), ([], [0.8, 0.81])])
def test_what_was_not_trained_fully_is_not_checked(
    trainings: tuple[list[float], list[float]],
) -> None:
    (finding,) = width_findings(front_of(records_of(*trainings)))
    assert finding.kind is Kind.WIDTH_UNCHECKED and finding.networks == ("trial 1",)
    had = 3 + sum(map(len, trainings))
    assert f"nas resume RUN --full-trainings {had + 7} checks those" in sentence(finding)


def test_networks_that_are_trained_on_have_no_wider_rival() -> None:
    (finding,) = width_findings(front_of(records_of([], []), regime="finetune"))
    assert finding.kind is Kind.WIDTH_NOT_ASKED
    assert "no trained weights to begin from" in sentence(finding)


def test_it_stands_in_the_verdict_and_in_json() -> None:
    front = front_of(records_of(*BETTER))
    assert any(line.startswith("Would width do better? no") for line in judge(front).lines)
    kinds = [row["kind"] for row in json.loads(findings_json(front))]
    assert "width_checked" in kinds and "width_difference" in kinds


def test_a_filter_that_leaves_the_winner_alone_leaves_its_rival_known() -> None:
    front = front_of(records_of(*BETTER)).where("sites('se') > 0 and not (latency_ms > 1.55)")
    assert the(Kind.WIDTH_CHECKED, front).networks == ("trial 1",)


def test_it_is_neither_the_plain_network_nor_one_placed_by_hand() -> None:
    front = front_of(records_of(*WORSE))
    rival = next(point for point in front if point.architecture == WIDE)
    assert not rival.on_front and rival.p_better > 0.95 and rival.gain > 0
    assert rival.loss_saved == pytest.approx(0.01)
    assert rival not in front.outside
    placed = {
        name
        for finding in compute_findings(front)
        if finding.kind.value.startswith("placed")
        for name in finding.networks
    }
    assert placed == {"se/r24"}


def test_a_wider_network_that_is_better_may_be_chosen_and_is_no_gain_of_attention() -> None:
    choice = front_of(records_of(*WORSE)).at(latency_ms=1.5)
    assert choice.best.reference == "plain x1.2" and not choice.nowhere
    assert choice.ruled_out is not None and choice.ruled_out.networks == 1


def test_runs_that_are_joined_are_each_held_against_their_own_rivals() -> None:
    fronts = {"one": front_of(records_of(*BETTER)), "two": front_of(records_of(*WORSE))}
    answer = the(Kind.WIDTH_CHECKED, Front.joined(fronts))
    assert answer.networks + answer.worse_than
    assert set(answer.networks) <= {"trial 1 of one"}
    assert set(answer.worse_than) <= {"trial 1 of two"}


def test_without_a_belief_nothing_is_claimed() -> None:
    trials = Trials.of(records_of(*BETTER))
    front = Front.of(trials, objectives_named(["loss", "latency_ms"]), regime="scratch")
    (finding,) = width_findings(front)
    assert finding.kind is Kind.WIDTH_UNCHECKED


def test_full_training_judges_it_by_the_same_claims_but_not_as_hand_placed() -> None:
    front = retrained_front(CLEAR | {"b": [0.95, 0.96, 0.955]}, latency_ms={"b": 1.05})
    columns = dict(front.measured.columns)
    references = columns["reference"].copy()
    references[list(columns["trial"]).index(3)] = "plain x1.2"
    measured = replace(front.measured, columns=columns | {"reference": references})
    findings = full_training_findings(replace(front, measured=measured))
    against = next(item for item in findings if item.rival == "plain x1.2")
    assert against.subject == "trial 1" and against.is_below
    assert against.figure("latency_share") == pytest.approx(1.1 / 1.05 - 1)
    assert "against plain x1.2, the plain network widened, at +5% latency" in sentence(against)
    summary = next(item for item in findings if item.kind is Kind.PLACED_BEATEN_IN_FULL)
    assert dict(summary.counts)["placed"] == 1
    assert summary.networks == ("se/r24",) and summary.worse_than == ()
    assert not math.isnan(summary.probability)
