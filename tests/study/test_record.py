from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from support.evaluations import make_evaluation

from nas.study.full_training import FullTraining
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
    RungResult,
    read_rungs,
    rungs_to_json,
)

JOB = Job(3, "{}", "d1", seed=5, reference="plain", repeat=1, eligible=False, attempt=2)
EVALUATION = make_evaluation(loss_sem=0.02)


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
    defaults = {"trained", "latency_predicted", "parts", "rungs", "epoch_losses", "uncounted"}
    for name in set(asdict(EVALUATION)) & set(Record.names()) - defaults:
        value = getattr(EVALUATION, name)
        assert getattr(record, name) == (value if state == COMPLETE else None)


def test_an_evaluation_below_the_top_waits() -> None:
    low = Record.of(replace(JOB, rung=0), Outcome(EVALUATION))
    assert (low.state, low.rung, low.stopped_early) == (PAUSED, 0, False)
    next_one = Outcome(replace(EVALUATION, rungs=(RungResult(1.0, 0.7, 0.6, 1.5),)))
    higher = Record.of(replace(JOB, rung=1), next_one)
    assert (higher.state, higher.rung) == (PAUSED, 1)
    assert Record.of(JOB, next_one).state == COMPLETE
    assert replace(higher, state=PRUNED).stopped_early
    refused = Record.of(JOB, Outcome(failure="params 9 > 8", infeasible=True))
    assert (refused.rung, refused.stopped_early) == (-1, False)


RUNGS = (RungResult(1.0, 0.7, 0.6, 1.5), RungResult(3.0, 0.6500000000000001, 0.625, 1e-05))
RUNGS_TEXT = "[[1.0, 0.7, 0.6, 1.5], [3.0, 0.6500000000000001, 0.625, 1e-05]]"
CLIMBED = replace(EVALUATION, rungs=RUNGS)


@pytest.mark.parametrize(
    "outcome", [Outcome(EVALUATION), Outcome(CLIMBED), Outcome(failure="x", lost=True)]
)
def test_outcome_crosses_processes_as_json(outcome: Outcome) -> None:
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


def test_messages_of_workers_are_as_they_were() -> None:
    message = (
        '{"evaluation": {"loss": 0.5, "accuracy": 0.8, "latency_ms": 2.0, "latency_wall_ms": 2.5, '
        '"latency_spread": 0.01, "params": 1000, "macs": 2000, "images": 10000, "seconds": 3.0, '
        '"train_seconds": 2.0, "loss_sem": 0.02, "within_limits": true, "trained": true, '
        f'"latency_predicted": false, "rungs": "{RUNGS_TEXT}", "parts": 1}}, '
        '"failure": null, "infeasible": false, "lost": false}'
    )
    assert json.dumps(Outcome(CLIMBED).to_dict()) == message
    assert Outcome.from_dict(json.loads(message)) == Outcome(CLIMBED)
    older = json.loads(message)
    for name in ("rungs", "parts", "latency_predicted"):
        del older["evaluation"][name]
    assert Outcome.from_dict(older) == Outcome(EVALUATION)


@pytest.mark.parametrize("rungs", [(), RUNGS[:1], RUNGS])
def test_rungs_are_stored_as_a_text_that_is_read_back(rungs: tuple[RungResult, ...]) -> None:
    assert read_rungs(rungs_to_json(rungs)) == rungs


def test_the_text_of_rungs_is_as_it_was() -> None:
    assert rungs_to_json(RUNGS) == RUNGS_TEXT
    assert rungs_to_json(()) is None
    assert read_rungs("[]") == ()
    whole = "[[1, 0.7, 0.6, NaN]]"  # whole numbers stay whole
    assert rungs_to_json(read_rungs(whole)) == whole


def test_a_record_is_stored_in_columns_of_plain_values() -> None:
    training = FullTraining(3, "d1", None, 0, "paper", {}, "200 epochs", 32, accuracy=0.9)
    record = replace(Record.of(JOB, Outcome(CLIMBED)), full_trainings=(training,))
    row = record.to_dict()
    assert row["rungs"] == RUNGS_TEXT
    assert row["retrained"] == json.dumps([training.to_dict()])
    assert Record.from_dict(row | {"a later column": 1}) == record
    for name in ("rungs", "retrained", "parts"):
        del row[name]
    assert Record.from_dict(row) == replace(record, rungs=(), full_trainings=())


def test_losses_of_epochs_and_images_are_kept_with_each_rung() -> None:
    low = RungResult(1.0, 0.7, 0.6, 1.5, 640, (2.25, 1.5))
    none = RungResult(1.0, 0.7, 0.6, 1.5, 0)  # nothing was trained
    assert rungs_to_json([low]) == "[[1.0, 0.7, 0.6, 1.5, 640, 2.25, 1.5]]"
    assert read_rungs(rungs_to_json([none, low])) == (none, low)
    curve = (2.25, 1.5, 1.25)
    seen = replace(EVALUATION, rungs=(low,), images_seen=960, epoch_losses=curve)
    outcome = Outcome(seen)
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome
    record = Record.of(JOB, outcome)
    row = record.to_dict()
    assert (row["images_seen"], row["epoch_losses"]) == (960, "[2.25, 1.5, 1.25]")
    assert Record.from_dict(json.loads(json.dumps(row))) == record
    del row["images_seen"], row["epoch_losses"]  # an earlier version's
    assert Record.from_dict(row) == replace(record, images_seen=None, epoch_losses=())


def test_outcome_is_an_evaluation_or_a_failure() -> None:
    with pytest.raises(AssertionError):
        Outcome()
    with pytest.raises(AssertionError):
        Outcome(EVALUATION, failure="both")


def test_record_crosses_the_store_as_json() -> None:
    record = replace(Record.of(JOB, Outcome(EVALUATION)), final_latency_ms=1.5)
    assert tuple(record.to_dict()) == Record.names()
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


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


def test_what_images_do_to_a_figure_is_kept_where_it_is_known() -> None:
    known = replace(EVALUATION, accuracy_sem=0.01)
    assert Evaluation.from_dict(known.to_dict()) == known
    assert Record.from_dict(Record.of(JOB, Outcome(known)).to_dict()).accuracy_sem == 0.01
    assert "accuracy_sem" not in EVALUATION.to_dict(), "as earlier versions read it"
    assert Record.of(JOB, Outcome(EVALUATION)).accuracy_sem is None


def test_suppression_is_timed_beside_a_detector_and_nothing_else() -> None:
    detector = replace(EVALUATION, suppression_ms=1.25)
    assert Evaluation.from_dict(detector.to_dict()) == detector
    assert Record.of(JOB, Outcome(detector)).suppression_ms == 1.25
    assert "suppression_ms" not in EVALUATION.to_dict(), "as earlier versions read it"
    assert Record.of(JOB, Outcome(EVALUATION)).suppression_ms is None
    written = Record.of(JOB, Outcome(detector)).to_dict()
    assert Record.from_dict(written).suppression_ms == 1.25
    del written["suppression_ms"]
    assert Record.from_dict(written).suppression_ms is None
