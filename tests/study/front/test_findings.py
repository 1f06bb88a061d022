from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
from study.front.test_verdict import front_of

from nas.study.front.findings import Finding, Kind
from nas.study.front.front import Front
from nas.study.front.prose import SUMMED_UP, sentence, sentences
from nas.study.front.verdict import compute_findings, findings_json, judge

CLEAR = (("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0))
CLOSE = (("plain", 1.0, 1.0), ("a", 0.999, 2.0), ("b", 0.998, 3.0))
FASTER = (("plain", 1.0, 1.0), ("a", 0.999, 2.0), ("b", 0.999, 3.0))
SPOILT = (
    ("plain", 1.0, 1.0), ("a", 0.95, 1.5), ("b", 0.9, 3.0),
    *((f"n{number}", 1.2, 1.0 + number) for number in range(7)),
)  # fmt: skip


def the(kind: Kind, front: Front) -> Finding:
    return next(finding for finding in compute_findings(front) if finding.kind == kind)


def test_every_kind_has_a_sentence() -> None:
    counts = ("networks", "freedom", "saving", "compared", "worse", "seeds", "images",
              "test_images", "recipes", "missing", "beaten", "placed")  # fmt: skip
    for kind in Kind:
        finding = Finding(kind, "front", text="Words.", counts=tuple((name, 2) for name in counts))
        assert sentence(finding).endswith(".")


def test_what_seeds_do_is_a_figure() -> None:
    finding = the(Kind.SEED_NOISE, front_of(*CLEAR))
    assert finding.estimate == front_of(*CLEAR).seed_noise
    assert finding.figure("differences") == front_of(*CLEAR).paired_noise * math.sqrt(2)
    assert finding.count("freedom") == 2  # six trainings less two networks less two seeds
    assert "varies by ±0.0100" in sentence(finding)


def test_how_many_save_loss_and_each_difference_with_its_interval() -> None:
    front = front_of(*CLEAR)
    count = the(Kind.NETWORKS_SAVING_LOSS, front)
    assert (count.estimate, count.networks, count.rival) == (1.0, ("trial 3",), "plain")
    assert sentence(count).startswith("1 of 1 networks on the front lose less")
    difference = the(Kind.LOSS_DIFFERENCE, front)
    assert (difference.subject, difference.rival) == ("trial 3", "plain")
    # The first seed chose it: the mean of the others is 0.495.
    assert difference.low < difference.estimate < difference.high
    assert difference.estimate == pytest.approx(0.5, abs=0.01) and difference.is_above
    assert sentence(difference) not in judge(front).lines


@pytest.mark.parametrize(
    ("networks", "kind", "words"),
    [
        (CLEAR, Kind.PLACED_BEATEN, "Searched networks beat hand-placed se: lower in loss"),
        (FASTER, Kind.PLACED_SLOWER, "Searched networks are faster than hand-placed se"),
        (CLOSE, Kind.PLACED_UNBEATEN, "No searched network is shown to be better than"),
    ],
)
def test_hand_placed_networks_are_named_and_counted(
    networks: tuple[tuple[str, float, float], ...], kind: Kind, words: str
) -> None:
    finding = the(kind, front_of(*networks))
    assert (finding.estimate, finding.networks) == (1.0, ("se",))
    assert sentence(finding).startswith(words)


def test_networks_that_training_left_worse_are_counted() -> None:
    finding = the(Kind.NETWORKS_SPOILT, front_of(*SPOILT))
    assert finding.count("worse") == finding.estimate == 7
    assert sentence(finding).startswith("7 of 9 networks with attention lose more")


@pytest.mark.parametrize(
    ("front", "kind"),
    [
        (front_of(*CLEAR, seeds=1), Kind.NOISE_UNKNOWN),
        (front_of(*CLEAR, trained=False), Kind.SHARED_WEIGHTS),
        (front_of(*CLEAR).where("trial == 0"), Kind.NOTHING_TO_COMPARE),
        (front_of(*CLOSE), Kind.INSIDE_NOISE),
        (front_of(*CLEAR).where("latency_ms > 9"), Kind.NO_FRONT),
    ],
)
def test_what_nothing_can_be_said_of_is_a_finding_too(front: Front, kind: Kind) -> None:
    assert sentence(the(kind, front)) == judge(front).lines[-1]
    assert not judge(front).clear


def test_the_fastest_is_told_where_there_is_no_front() -> None:
    finding = the(Kind.NO_FRONT, front_of(*CLEAR).where("latency_ms > 9"))
    assert (finding.estimate, finding.unit, finding.count("networks")) == (1.0, "ms", 3)
    assert the(Kind.NO_FRONT, front_of()).to_dict()["estimate"] is None


def test_the_verdict_is_the_findings_in_words() -> None:
    front = front_of(*CLEAR)
    findings = compute_findings(front)
    assert judge(front).lines == sentences(findings)
    assert len(judge(front).lines) == sum(item.kind not in SUMMED_UP for item in findings)


def test_json_holds_figures_and_words() -> None:
    front = front_of(*CLEAR)
    rows = json.loads(findings_json(front))
    promised = {"kind", "subject", "estimate", "low", "high", "probability", "text"}
    assert all(promised <= set(row) for row in rows)
    assert [row["text"] for row in rows if row["kind"] not in SUMMED_UP] == list(judge(front).lines)
    assert all(row["probability"] is None for row in rows)
    difference = next(row for row in rows if row["kind"] == "loss_difference")
    assert difference["level"] == 0.95 and difference["low"] > 0


def test_a_finding_is_frozen_and_its_interval_in_order() -> None:
    finding = Finding(Kind.LOSS_DIFFERENCE, "trial 1", estimate=1.0, low=0.5, high=1.5)
    with pytest.raises(FrozenInstanceError):
        finding.low = 0.0  # type: ignore[misc]
    with pytest.raises(AssertionError):
        replace(finding, low=2.0)
