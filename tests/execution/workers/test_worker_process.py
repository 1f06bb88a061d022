"""A worker, with evaluations that are told when to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.evaluations import make_outcome
from support.samples import make_job

from nas.base.errors import StorageError
from nas.execution.exchange import DONE, TAKEN, WAITING, WorkerTerms
from nas.execution.exchange.folder import FolderExchange
from nas.execution.workers.worker_process import WorkerProcess
from nas.study.record import Job, Outcome

FOUND = make_outcome()
TERMS = WorkerTerms({}, {}, "digits", 0.3)


@pytest.fixture
def exchange(tmp_path: Path) -> FolderExchange:
    made = FolderExchange(tmp_path)
    made.publish(TERMS)
    return made


def worker(
    exchange: FolderExchange, evaluate: Callable[[Job], Outcome], *, grace: float = 0.05
) -> tuple[WorkerProcess, list[str]]:
    said: list[str] = []
    made = WorkerProcess(exchange, evaluate, lease=TERMS.lease, grace=grace, say=said.append)
    return made, said


def endless(job: Job) -> Outcome:
    while True:
        time.sleep(0.01)


def test_it_works_until_the_search_is_finished(exchange: FolderExchange) -> None:
    tickets = [exchange.offer(make_job(trial)) for trial in range(3)]
    exchange.publish(replace(TERMS, closed=True))
    process, said = worker(exchange, lambda job: FOUND)
    assert process.run() == "finished"
    assert exchange.states() == dict.fromkeys(sorted(tickets), DONE)
    assert said == [
        text for trial in range(3) for text in (f"trial {trial}", f"trial {trial}: done")
    ]
    assert exchange.workers() == []


def test_it_ends_when_there_is_nothing_to_do(exchange: FolderExchange) -> None:
    process, _ = worker(exchange, endless)
    process.idle = 0.1
    assert process.run() == "idle"


@pytest.mark.parametrize("grace", [0.0, 0.05])
def test_asked_to_end_it_hands_its_job_back(exchange: FolderExchange, grace: float) -> None:
    ticket = exchange.offer(make_job(0))

    def preempted(job: Job) -> Outcome:
        assert exchange.states() == {ticket: TAKEN}
        os.kill(os.getpid(), signal.SIGTERM)
        return endless(job)

    process, _ = worker(exchange, preempted, grace=grace)
    assert process.run() == "stopped"
    assert exchange.states() == {ticket: WAITING} and exchange.workers() == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_within_the_grace_period_a_job_may_end(exchange: FolderExchange) -> None:
    first, second = (exchange.offer(make_job(trial)) for trial in range(2))

    def nearly_done(job: Job) -> Outcome:
        os.kill(os.getpid(), signal.SIGTERM)
        return FOUND

    process, _ = worker(exchange, nearly_done, grace=60.0)
    assert process.run() == "stopped"
    assert exchange.states() == {first: DONE, second: WAITING}


def test_ctrl_c_hands_the_job_back(exchange: FolderExchange) -> None:
    ticket = exchange.offer(make_job(0))

    def interrupted(job: Job) -> Outcome:
        raise KeyboardInterrupt

    process, _ = worker(exchange, interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.run()
    assert exchange.states() == {ticket: WAITING}


def test_a_worker_that_cannot_go_on_hands_its_job_back(exchange: FolderExchange) -> None:
    ticket = exchange.offer(make_job(0))

    def broken(job: Job) -> Outcome:
        raise StorageError("no space left")

    process, _ = worker(exchange, broken)
    with pytest.raises(StorageError, match="no space left"):
        process.run()
    assert exchange.states() == {ticket: WAITING}
    (shown,) = exchange.workers()
    assert shown.left == "no space left" and shown.trial is None


def test_an_evaluation_stops_when_its_job_was_given_to_another(exchange: FolderExchange) -> None:
    ticket = exchange.offer(make_job(0))

    def withdrawn(job: Job) -> Outcome:
        exchange.withdraw(ticket)
        exchange.publish(replace(TERMS, closed=True))
        return endless(job)

    process, said = worker(exchange, withdrawn)
    assert process.run() == "finished"
    assert said[-1] == "trial 0 was taken away: this worker was silent"
    assert exchange.states() == {}


def test_a_late_outcome_is_refused(exchange: FolderExchange) -> None:
    ticket = exchange.offer(make_job(0))

    def late(job: Job) -> Outcome:
        exchange.withdraw(ticket)
        exchange.publish(replace(TERMS, closed=True))
        return FOUND

    process, said = worker(exchange, late)
    assert process.run() == "finished"
    assert said[-1].startswith("trial 0: its outcome was refused")


def test_its_heart_beats_while_it_works(exchange: FolderExchange) -> None:
    exchange.offer(make_job(4))
    beats: list[tuple[int, int | None]] = []

    def slow(job: Job) -> Outcome:
        while len(beats) < 3:
            (shown,) = exchange.workers()
            if (shown.beat, shown.trial) not in beats:
                beats.append((shown.beat, shown.trial))
            time.sleep(0.01)
        exchange.publish(replace(TERMS, closed=True))
        return FOUND

    process, _ = worker(exchange, slow)
    process.run()
    assert [trial for _, trial in beats] == [4, 4, 4]
