"""Networks that a front never recommends: what was trained there was emptied or replaced."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from support.samples import make_record

from nas.base.errors import SpecError
from nas.cli.foreground import _choose_example
from nas.cli.output.answers import FrontQuery, print_answers
from nas.report.explain import advise
from nas.report.explain.rules import explain_front
from nas.spec.architecture import EMPTY, Architecture, Insertion
from nas.spec.objective import objectives_named
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.front.verdict import judge
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

BUDGETS = Budgets("start", (1000.0,), 1000.0, 1000.0)
BACKBONE = "mobilenetv3_small_050"
SITES = tuple(f"blocks.{number}.0/after_depthwise" for number in range(6))
PLAIN = Architecture(BACKBONE, 32)
EMPTIED = Architecture(BACKBONE, 32, tuple(Insertion(site, EMPTY) for site in SITES))


def hand_placed(block: str, sites: tuple[str, ...] = SITES) -> Architecture:
    return Architecture(BACKBONE, 32, tuple(Insertion.of(site, block) for site in sites))


def planted(
    *networks: tuple[str | None, Architecture, float, float, float], seeds: int = 1
) -> list[Record]:
    """Records of (reference, architecture, accuracy, loss, ms), each trained with some seeds."""
    return [
        replace(
            make_record(
                number + len(networks) * seed,
                reference=reference,
                accuracy=accuracy,
                loss=loss + 0.003 * math.sin(5 * number + 3 * seed),
                latency_ms=latency_ms,
                seed=seed,
                repeat=seed,
            ),
            architecture=architecture.to_json(),
            digest=architecture.digest,
        )
        for seed in range(seeds)
        for number, (reference, architecture, accuracy, loss, latency_ms) in enumerate(networks)
    ]


FILLED = (
    ("plain", PLAIN, 0.97, 0.09, 1.2),
    ("emptied", EMPTIED, 0.23, 2.1, 0.8),
    ("eca", hand_placed("eca"), 0.30, 1.9, 1.4),
    (None, hand_placed("eca", SITES[:2]), 0.80, 0.7, 1.25),
    (None, hand_placed("none", SITES[:3]), 0.55, 1.4, 1.0),
)


def front_of(records: list[Record], *, regime: str = "finetune", believe: bool = True) -> Front:
    trials = Trials.of(records)
    belief = NetworkBelief.of(trials, BUDGETS) if believe else None
    return Front.of(trials, objectives_named(["loss", "latency_ms"]), belief=belief, regime=regime)


def names(points: Any) -> set[str | int]:
    return {point.reference or point.trial for point in points}


@pytest.mark.parametrize("believe", [True, False])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_emptied_network_is_never_recommended(
    seeds: int, believe: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    front = front_of(planted(*FILLED, seeds=seeds), believe=believe)
    assert "emptied" in names(front.members)  # nothing is as fast
    assert names(front.recommended) == {"plain"}
    assert _choose_example(front).reference == "plain"
    choice = front.at(latency_ms=1.3)
    assert choice.best.reference == "plain"
    assert choice.cheapest is None or choice.nowhere
    assert "emptied" not in names(point for point, _ in choice.rivals)
    with pytest.raises(SpecError, match=r"emptied.*\) is .* worse than the trained network"):
        front.at(latency_ms=1.1)
    for line in judge(front).answer:
        assert "most promising" not in line and "keep that" in line
    assert not any(": choose by latency" in line for line in judge(front).lines)
    print_answers(front, FrontQuery({"latency_ms": 1.3}, True, False, {}), as_json=False)
    said = capsys.readouterr().out
    assert "Best with latency_ms <= 1.3: trial 0" in said
    assert "Knee" not in said or "Knee: trial 0" in said or "not to be recommended" in said


def test_from_scratch_an_emptied_network_is_one_like_others() -> None:
    front = front_of(planted(*FILLED, seeds=3), regime="scratch")
    assert names(front.recommended) == names(front.members)
    assert front.at(latency_ms=0.9).best.reference == "emptied"


@pytest.mark.parametrize("most", [2, 500])
def test_a_network_behind_many_setbacks_is_found(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are held against each other: those ahead of it all lost what was learnt."""
    monkeypatch.setattr("nas.study.front.choice._COMPARED", most)
    smaller = Architecture("mobilenetv2_035", 32)
    cut = [(None, hand_placed("none", SITES[:emptied]), 0.55, 1.2 + 0.1 * emptied, 1.0)
           for emptied in range(1, 6)]  # fmt: skip
    known = (("plain", PLAIN, 0.97, 0.09, 1.2), *cut)
    apart = ("plain@mobilenetv2_035-32", smaller, 0.30, 2.2, 0.6)
    choice = front_of(planted(*known, apart, seeds=3)).at(latency_ms=1.1)
    assert choice.best.reference == "plain@mobilenetv2_035-32" and not choice.rivals
    assert choice.networks == 1
    with pytest.raises(SpecError, match=r"\(trial 1, trial 2, trial 3 and 2 more\) is shown"):
        front_of(planted(*known, seeds=3)).at(latency_ms=1.1)


def test_a_smaller_backbone_is_held_against_itself() -> None:
    smaller = Architecture("mobilenetv2_035", 32)
    grown = Architecture("mobilenetv2_035", 32, (Insertion.of(SITES[0], "se/r24"),))
    records = planted(
        *FILLED,
        ("plain@mobilenetv2_035-32", smaller, 0.90, 0.3, 0.6),
        (None, grown, 0.93, 0.2, 0.7),
        seeds=3,
    )
    front = front_of(records)
    assert {"plain", 6} <= names(front.recommended)
    assert not {"emptied", 4} & names(front.recommended)
    assert front.at(latency_ms=0.9).best.trial == 6


def test_an_emptied_network_that_is_shown_to_be_better_may_be_recommended() -> None:
    front = front_of(
        planted(("plain", PLAIN, 0.5, 1.2, 1.2), ("emptied", EMPTIED, 0.97, 0.1, 0.8), seeds=3)
    )
    assert front.believed.by_run
    emptied = next(point for point in front if point.reference == "emptied")
    assert ("emptied" in names(front.recommended)) == (emptied.p_better >= 0.95)
    assert front.at(latency_ms=0.9).best.reference == "emptied"


@pytest.mark.parametrize("regime", ["finetune", "scratch"])
def test_advice_by_the_rules_says_what_is_not_to_be_recommended(regime: str) -> None:
    cut = [
        (
            None,
            hand_placed("none", SITES[:emptied]),
            0.97 - 0.12 * emptied,
            0.09 + 0.33 * emptied,
            1.2 - 0.07 * emptied,
        )
        for emptied in range(1, 6)
    ]
    added = [
        (None, hand_placed("eca", (site,)), 0.85, 0.4, 1.23 + 0.01 * number)
        for number, site in enumerate(SITES)
    ]
    front = front_of(planted(*FILLED[:2], *cut, *added, seeds=2), regime=regime)
    explanation = explain_front(front)
    fastest = advise(explanation, 0.85)
    assert fastest.architecture == EMPTIED
    assert fastest.worse == (regime == "finetune")
    assert (fastest.evaluated is None) == (regime == "finetune")
    enough = advise(explanation, 1.3)
    assert enough.architecture == PLAIN and not enough.worse
    assert enough.evaluated is not None and enough.evaluated.best.reference == "plain"
