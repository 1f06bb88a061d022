from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from nas.study.record import (
    COMPLETE,
    FAILED,
    PAUSED,
    PRUNED,
    RUNNING,
    Evaluation,
    Job,
    Latency,
    Outcome,
    Record,
)

JOB = Job(3, "{}", "d1", seed=5, reference="plain", repeat=1, eligible=False, attempt=2)
EVALUATION = Evaluation(0.5, 0.8, 2.0, 2.5, 0.01, 1000, 2000, 10_000, 3.0, 2.0, loss_sem=0.02)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (None, RUNNING),
        (Outcome(EVALUATION), COMPLETE),
        (Outcome(failure="diverged"), FAILED),
        (Outcome(failure="worker died", lost=True), FAILED),
        (Outcome(failure="params 9 > 8", infeasible=True), PRUNED),
    ],
)
def test_record_tells_its_state_and_keeps_the_job(outcome: Outcome | None, state: str) -> None:
    record = Record.of(JOB, outcome, "2026-01-01T00:00:00+00:00")
    assert record.state == state
    assert record.finished == "2026-01-01T00:00:00+00:00"
    own = {"attempt", "rung", "latency"}
    shared = [item.name for item in fields(Job) if item.name not in own]
    assert [getattr(record, name) for name in shared] == [getattr(JOB, name) for name in shared]
    assert record.failure == (outcome.failure if outcome else None)
    assert record.eligible is JOB.eligible
    defaults = {"trained", "latency_predicted", "parts"}
    for name in set(asdict(EVALUATION)) & set(Record.names()) - defaults:
        value = getattr(EVALUATION, name)
        assert getattr(record, name) == (value if state == COMPLETE else None)


def test_an_evaluation_below_the_top_waits() -> None:
    low = Record.of(replace(JOB, rung=0), Outcome(EVALUATION))
    assert (low.state, low.rung, low.stopped_early) == (PAUSED, 0, False)
    next_one = Outcome(replace(EVALUATION, rungs="[[1, 0.7, 0.6, 1.5]]"))
    higher = Record.of(replace(JOB, rung=1), next_one)
    assert (higher.state, higher.rung) == (PAUSED, 1)
    assert Record.of(JOB, next_one).state == COMPLETE
    assert replace(higher, state=PRUNED).stopped_early
    refused = Record.of(JOB, Outcome(failure="params 9 > 8", infeasible=True))
    assert (refused.rung, refused.stopped_early) == (-1, False)


@pytest.mark.parametrize("outcome", [Outcome(EVALUATION), Outcome(failure="x", lost=True)])
def test_outcome_crosses_processes_as_json(outcome: Outcome) -> None:
    assert Outcome.from_dict(json.loads(json.dumps(asdict(outcome)))) == outcome


def test_outcome_is_an_evaluation_or_a_failure() -> None:
    with pytest.raises(AssertionError):
        Outcome()
    with pytest.raises(AssertionError):
        Outcome(EVALUATION, failure="both")


def test_record_crosses_the_store_as_json() -> None:
    record = replace(Record.of(JOB, Outcome(EVALUATION)), final_latency_ms=1.5)
    assert tuple(record.to_dict()) == Record.names()
    assert Record(**json.loads(json.dumps(record.to_dict()))) == record


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Record.of(JOB, None).loss = 0.0  # type: ignore[misc]


def test_a_job_and_its_latency_come_back_from_json() -> None:
    for latency in (None, Latency(2.5, 2.75, 0.01), Latency(2.5, None, 0.01)):
        job = replace(JOB, rung=1, latency=latency)
        assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job


def test_jobs_of_earlier_versions_are_read_and_written_as_they_were() -> None:
    old = {
        "trial": 3,
        "architecture": "{}",
        "digest": "d1",
        "seed": 5,
        "reference": "plain",
        "repeat": 1,
        "eligible": False,
        "attempt": 2,
        "rung": 1,
        "latency": [2.5, None, 0.01],
    }
    job = Job.from_dict(old)
    assert job == replace(JOB, rung=1, latency=Latency(2.5, None, 0.01))
    assert json.dumps(job.to_dict()) == json.dumps(old)
    assert Job.from_dict({name: old[name] for name in ("trial", "architecture", "digest", "seed")})
    with pytest.raises(TypeError):
        Job.from_dict(old | {"colour": "red"})
