from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.evaluations import make_evaluation
from support.samples import make_job, make_record

from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.strategy.ledger import (
    Ledger,
    check_finite,
    next_seed,
    objective_values,
    prune,
    record_outcome,
    training_job,
)
from nas.strategy.storage.store import Store
from nas.study.record import (
    COMPLETE,
    FAILED,
    PAUSED,
    PRUNED,
    RUNNING,
    Evaluation,
    Latency,
    Outcome,
    Record,
)

OBJECTIVES = objectives_named(["loss", "latency_ms"])


def evaluation(**more: float) -> Evaluation:
    figures = {"loss": 1.0, "accuracy": 0.5, "latency_spread": 0.1, "seconds": 10.0} | more
    return make_evaluation(**figures)


@pytest.mark.parametrize("turns", [None, 1, 3, 8])
def test_no_network_is_trained_twice_with_one_seed(tmp_path: Path, turns: int | None) -> None:
    """Nor where a training of before had its seed by another rule."""
    plan = SearchPlan(seeds_in_turn=turns)
    elsewhere = next_seed(SearchPlan(seeds_in_turn=1), "0", Ledger(_store(tmp_path / "no")))
    for residue in range(8):
        digest, ledger = f"{residue:x}", Ledger(_store(tmp_path / str(residue)))
        for repeat in range(10):
            seed = elsewhere if repeat == 0 else next_seed(plan, digest, ledger)
            order = replace(make_job(repeat, repeat=repeat), digest=digest, seed=seed)
            ledger.start(order, {}, {}, {})
        assert len({record.seed for record in ledger.records}) == 10
    few = {next_seed(plan, f"{number:x}", Ledger(_store(tmp_path / "few"))) for number in range(20)}
    assert len(few) == (turns or 1)


def _store(path: Path) -> Store:
    path.mkdir(exist_ok=True)
    journal = path / "study.journal"
    return Store(journal, writable=True) if journal.exists() else Store.create(journal, OBJECTIVES)


def test_what_is_entered_is_in_the_store(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "study.journal", OBJECTIVES)
    ledger = Ledger(store)
    first = ledger.start(make_job(0), {"a": "none"}, {"a": ("none", "se/r8")}, {"mark": 1})
    again = ledger.start(replace(make_job(0), trial=1, repeat=1), {}, {}, {})
    assert (first.state, again.state, ledger.networks) == (RUNNING, RUNNING, 1)
    assert ledger.by_digest == {first.digest: [0, 1]}
    ledger.update(make_record(0), [1.0, 1.0])
    assert ledger.trials_of(first.digest) == [make_record(0), again]
    assert ledger.trials_of("new") == []
    assert store.records() == list(ledger.records)
    stored = store.trials()[0]
    assert (stored.params, stored.marks["mark"]) == ({"a": "none"}, 1)


def test_a_trial_keeps_what_it_was_at_the_rung_below() -> None:
    waiting = record_outcome(
        Record.of(make_job(0), None), make_job(0, rung=0), Outcome(evaluation())
    )
    waiting = replace(waiting, seconds=4.0)
    assert (waiting.state, waiting.finished) == (PAUSED, None)
    whole = record_outcome(waiting, make_job(0), Outcome(evaluation(loss=0.5)))
    assert (whole.state, whole.loss, whole.seconds) == (COMPLETE, 0.5, 14.0)
    broken = record_outcome(waiting, make_job(0), Outcome(failure="out of memory"))
    assert (broken.state, broken.loss, broken.failure) == (FAILED, 1.0, "out of memory")
    assert broken.finished is not None
    assert (prune(waiting).state, prune(waiting).loss) == (PRUNED, 1.0)


def test_what_is_not_finite_is_a_failure() -> None:
    good = Outcome(evaluation())
    assert check_finite(good, OBJECTIVES) is good
    bad = Outcome(evaluation(loss=math.nan))
    assert check_finite(bad, OBJECTIVES) == Outcome(failure="loss is nan")


@pytest.mark.parametrize("state", [PAUSED, RUNNING, PRUNED, FAILED])
def test_only_complete_trials_have_values(state: str) -> None:
    record = make_record(0, loss=0.25)
    assert objective_values(record, OBJECTIVES) == [0.25, record.latency_ms]
    assert objective_values(replace(record, state=state), OBJECTIVES) is None


def test_a_network_that_goes_on_is_not_timed_again() -> None:
    record = replace(make_record(0), latency_ms=2.0, latency_wall_ms=2.5, latency_spread=0.1)
    assert training_job(record, 1).latency == Latency(2.0, 2.5, 0.1)
    assert training_job(record, 1).rung == 1
    assert training_job(replace(record, latency_ms=None), -1).latency is None
