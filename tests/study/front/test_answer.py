"""What a front answers: what to put where, what it brings, how sure that is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study.front.test_width_rival import ALIKE, BETTER, WORSE, front_of, records_of

from nas.spec.architecture import EMPTY, Architecture, Insertion
from nas.study.front.answer import best_point, describe_placement
from nas.study.front.front import Front
from nas.study.front.verdict import compute_findings, judge


def told_by(front: Front) -> tuple[str, ...]:
    return judge(front).answer


def test_a_gain_that_is_shown_is_put_first_and_named_as_the_front_has_it() -> None:
    front = front_of(records_of(*BETTER))
    best = best_point(front)
    assert best is not None and best in front.recommended
    first, *_ = compute_findings(front)
    assert first.kind == "best_gain" and first.count("trial") == best.trial
    assert first.probability == best.p_better
    (told, *_) = told_by(front)
    placed = describe_placement(best.architecture)
    if first.count("shown"):
        assert told.startswith(f"Put {placed}: ")
    else:
        assert told.startswith("No network is shown") and placed in told


def test_a_front_of_the_plain_network_alone_has_an_answer_too() -> None:
    records = [one for one in records_of(*BETTER) if '"site-a"' not in one.architecture]
    front = front_of(records)
    assert [point.reference for point in front.members] == ["plain"]
    (told,) = told_by(front)
    assert "keep that. It alone is on the front" in told and "hand-placed se/r24" in told
    assert "widened" not in told


def test_essentials_and_details_are_all_lines_in_their_order() -> None:
    verdict = judge(front_of(records_of(*BETTER)))
    assert verdict.details and verdict.essentials
    assert sorted((*verdict.essentials, *verdict.details)) == sorted(verdict.lines)
    assert [line for line in verdict.lines if line in verdict.essentials] == [*verdict.essentials]


@pytest.mark.parametrize(
    ("sites", "told"),
    [
        (["blocks.1.0/after_depthwise"], "se after_depthwise of blocks.1.0"),
        (["b.1/x", "b.2/x", "b.3/x"], "se x of b.1, b.2 and b.3"),
        ([f"b.{n}/x" for n in range(5)], "se x of 5 modules between b.0 and b.4"),
        (["b.10/x", "b.9/x"], "se x of b.9 and b.10"),
        (["b.1/x", "b.2/y"], "se x of b.1, se y of b.2"),
        (["blocks.1"], "se at blocks.1"),
    ],
)
def test_placements_are_told_by_kind_position_and_module(sites: list[str], told: str) -> None:
    insertions = tuple(Insertion(site, "se") for site in sites)
    assert describe_placement(Architecture("m", "32", insertions)) == told


def test_a_network_with_its_slots_emptied_has_no_block() -> None:
    emptied = Architecture("m", "32", (Insertion("blocks.1.0/se", EMPTY),))
    assert describe_placement(emptied) == describe_placement(Architecture("m", "32")) == "no block"


def test_the_answer_says_where_width_gains_more() -> None:
    told = told_by(front_of(records_of(*WORSE)))
    assert told[-1].startswith(
        "Width does more than attention here, as far as is known: plain x1.2"
    )
    assert not any("Width" in line for line in told_by(front_of(records_of(*BETTER))))
    # What was not trained fully is no answer.
    assert not any("Width" in line for line in told_by(front_of(records_of([], []))))


def test_one_training_of_each_is_not_called_certain() -> None:
    records = [record for record in records_of([], []) if record.repeat == 0]
    (told,) = told_by(front_of([*records[1:], replace(records[0], full_trainings=())]))
    assert "if one training of each is to be believed" in told and "Put" not in told


def test_of_several_runs_a_network_is_held_against_the_plain_one_of_its_own() -> None:
    records = records_of([0.60, 0.61, 0.60], [0.50, 0.51, 0.50])
    slow = [replace(item, latency_ms=4 * (item.latency_ms or 0)) for item in records]
    one, other = front_of(records_of(*ALIKE)), front_of(slow)
    told = told_by(Front.joined({"one": one, "other": other}))
    assert [line.replace(" of other", "") for line in told] == [*told_by(other)]
    assert "(+50%)" in told[0] and "Width does more" in told[1]
