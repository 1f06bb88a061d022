"""When a search ends, by its plan, its clock and what came of its trainings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import pytest
from support.samples import make_record

from nas.spec.search_plan import SearchPlan
from nas.strategy.samplers.proposer import Proposer
from nas.strategy.stopping import Stopping
from nas.study.record import COMPLETE, FAILED


class Told:
    """A proposer that is asked for nothing but what it expects."""

    def __init__(self, regret: float = math.nan, futile: int = 0) -> None:
        self.regret = {"loss": regret}
        self.futile_proposals = futile


def told(regret: float = math.nan, futile: int = 0) -> Proposer:
    return cast(Proposer, Told(regret, futile))


def stopping(now: float = 0.0, **plan: object) -> Stopping:
    return Stopping(SearchPlan.model_validate({"trials": 10, **plan}), lambda: now, 0.0)


def test_by_the_number_of_networks() -> None:
    rules = stopping()
    assert rules.may_propose(9) and not rules.may_propose(10)
    assert rules.obstacle is None and math.isinf(rules.remaining_seconds)
    assert rules.reason(10) == "10 networks are evaluated"


def test_by_the_clock() -> None:
    assert stopping(49.0, time_limit=50).obstacle is None
    rules = stopping(50.0, time_limit=50)
    assert rules.remaining_seconds == 0
    assert rules.obstacle == "the time limit is reached"


def test_by_failures_and_nothing_else() -> None:
    rules, mixed = stopping(), stopping()
    mixed.note(COMPLETE)
    for _ in range(7):
        rules.note(FAILED)
        mixed.note(FAILED)
    assert rules.obstacle is None and mixed.obstacle is None
    rules.note(FAILED)
    assert rules.obstacle == "the first 8 trials all failed"


def test_by_what_is_expected_still_to_be_gained() -> None:
    rules = stopping(stop_when="0.01 loss")
    assert rules.worth_proposing(told()) and rules.worth_proposing(told(0.02))
    assert not rules.worth_proposing(told(0.009))
    assert not rules.may_propose(3)
    assert rules.reason(3).endswith("less than 0.01 loss is expected of further ones")


def test_by_patience_which_comes_back_when_a_proposal_promises_more() -> None:
    rules = stopping(patience=3)
    assert not rules.worth_proposing(told(futile=3)) and not rules.may_propose(3)
    assert "the last 3 of them (search.patience) promised less" in rules.reason(3)
    assert rules.worth_proposing(told(futile=1)) and rules.may_propose(3)
    assert stopping().worth_proposing(told(futile=99))


def test_by_a_space_that_gives_no_more() -> None:
    rules = stopping()
    rules.exhausted = True
    assert not rules.may_propose(3)
    assert rules.reason(3) == "3 networks are evaluated; the space gave no further one"


@pytest.mark.parametrize(("left", "needed"), [(29.0, True), (31.0, False)])
def test_time_for_trainings_side_by_side_and_one_round_under_way(left: float, needed: bool) -> None:
    records = [replace(make_record(number), seconds=10.0) for number in range(3)]
    rules = stopping(100.0 - left, time_limit=100)
    assert rules.time_is_for(4, records, at_once=2) is needed
    assert not rules.time_is_for(4, [make_record(0, failure="diverged")], at_once=2)
    assert not stopping().time_is_for(4, records, at_once=2)
