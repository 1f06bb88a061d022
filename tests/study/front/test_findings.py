from __future__ import annotations

import json
import math
import re
from dataclasses import FrozenInstanceError, replace

import pytest
from study.front import test_width_rival as full
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
    figures = (("margin", 0.1), ("no_worse", 0.5))
    counts = ("networks", "members", "freedom", "saving", "compared", "worse", "seeds", "images",
              "test_images", "recipes", "missing", "beaten", "placed", "winner", "rival", "better",
              "wanted", "shown", "trainings", "of", "noise_known", "on_front")  # fmt: skip
    for kind in Kind:
        finding = Finding(kind, "front", text="Words.", figures=figures,
                          counts=tuple((name, 2) for name in counts))  # fmt: skip
        assert sentence(finding).endswith(".")


def test_what_seeds_do_is_a_figure() -> None:
    finding = the(Kind.SEED_NOISE, front_of(*CLEAR))
    assert finding.estimate == front_of(*CLEAR).seed_noise
    assert finding.figure("differences") == front_of(*CLEAR).paired_noise * math.sqrt(2)
    assert finding.count("freedom") == 2  # six trainings less two networks less two seeds
    assert "varies by ±0.0100" in sentence(finding)


def test_what_is_not_known_is_not_said() -> None:
    """One short training of each network, and several full ones: what seeds do to short ones."""
    front = full.front_of(full.records_of(*full.BETTER)[:4])
    assert front.measured.knows_noise and math.isnan(front.seed_noise)
    found = compute_findings(front)
    assert Kind.SEED_NOISE not in {finding.kind for finding in found}
    assert re.search(r"\bnan\b", " ".join(map(sentence, found))) is None


def test_how_many_members_are_expected_on_the_front() -> None:
    finding = the(Kind.FRONT_EXPECTED, front_of(*CLEAR))
    assert finding.count("members") == 2 and finding.estimate > 1.9
    assert finding.networks == ("plain", "trial 3")
    unsure = the(Kind.FRONT_EXPECTED, front_of(*CLOSE))
    assert unsure.estimate < 0.9 * unsure.count("members")
    assert sentence(unsure).startswith("Of 3 networks on the front,")


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
        (CLOSE, Kind.PLACED_UNBEATEN, "No searched network is shown to be better than"),
    ],
)
def test_hand_placed_networks_are_named_and_counted(
    networks: tuple[tuple[str, float, float], ...], kind: Kind, words: str
) -> None:
    finding = the(kind, front_of(*networks))
    assert (finding.estimate, finding.networks) == (1.0, ("se",))
    assert sentence(finding).startswith(words)


def test_a_loss_that_is_no_higher_is_claimed_within_a_margin_alone() -> None:
    """As good by its points, and by chance: with a noise of .01, .002 more is not ruled out."""
    front = front_of(*FASTER)
    unsure = the(Kind.FASTER_UNSURE, front)
    assert (unsure.subject, unsure.rival) == ("trial 3", "se")
    assert unsure.low < -0.002 and 0.1 < unsure.probability < 0.9
    assert unsure.figure("latency_share") == pytest.approx(-1 / 3)
    assert "faster than hand-placed se (-33%)" in sentence(unsure)
    assert not any(finding.kind == Kind.PLACED_SLOWER for finding in compute_findings(front))
    finding = the(Kind.PLACED_SLOWER, replace(front, margin=0.3))
    assert (finding.networks, finding.winners) == (("se",), ("trial 3",))
    assert finding.figure("margin") == 0.3 and finding.probability > 0.95
    assert "higher by less than 0.3, if at all" in sentence(finding)


def test_not_shown_better_is_not_no_difference() -> None:
    """A newcomer was told to choose by latency where the plain network was far ahead."""
    worse = (("plain", 0.2, 1.0), ("a", 1.5, 0.9), ("b", 1.6, 3.0), ("c", 1.4, 0.95))
    finding = the(Kind.NONE_BETTER, front_of(*worse))
    assert set(finding.worse_than) == {"trial 3", "trial 9"}
    assert "do not choose by latency" in sentence(finding)
    assert not any("INSIDE" in line for line in judge(front_of(*worse)).lines)


def test_no_difference_is_a_claim_of_its_own() -> None:
    front = front_of(*CLOSE)
    assert the(Kind.INSIDE_NOISE, front).figure("margin") == 0.002
    assert "which is not to say that there is none" in judge(front).lines[-1]
    finding = the(Kind.NO_DIFFERENCE, replace(front, margin=0.3))
    assert finding.probability > 0.95
    assert "choose by latency" in sentence(finding)


def test_a_hand_placed_network_that_the_space_does_not_hold_is_named() -> None:
    networks = (("plain", 1.0, 1.0), ("a", 0.8, 2.0), ("b", 0.5, 1.5))
    front = front_of(*networks)
    eligible = (front.measured.columns["reference"] != "se").astype(int)
    columns = {**front.measured.columns, "eligible": eligible}
    front = replace(front, measured=replace(front.measured, columns=columns))
    finding = the(Kind.PLACED_OUTSIDE, front)
    assert (finding.networks, finding.worse_than) == (("se",), ("trial 3",))
    assert "trial 3 would leave the front for it" in sentence(finding)
    assert front.at(latency_ms=1.7).best.reference == "se"


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
    saving = next(row for row in rows if row["kind"] == "networks_saving_loss")
    assert saving["probability"] > 0.95
    difference = next(row for row in rows if row["kind"] == "loss_difference")
    assert difference["level"] == 0.95 and difference["low"] > 0


def test_a_finding_is_frozen_and_its_interval_in_order() -> None:
    finding = Finding(Kind.LOSS_DIFFERENCE, "trial 1", estimate=1.0, low=0.5, high=1.5)
    with pytest.raises(FrozenInstanceError):
        finding.low = 0.0  # type: ignore[misc]
    with pytest.raises(AssertionError):
        replace(finding, low=2.0)
