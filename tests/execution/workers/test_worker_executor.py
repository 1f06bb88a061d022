"""The driver of independent workers; workers and clock are simulated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.evaluations import make_outcome
from support.searches import small_candidates

from nas.execution.exchange import Exchange, Presence, Ticket, WorkerTerms
from nas.execution.exchange.folder import FolderExchange
from nas.execution.observer import SilentObserver
from nas.execution.simulated import SimulatedExecutor, VirtualClock
from nas.execution.workers.worker_executor import WorkerExecutor
from nas.models.candidates import Candidates
from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.record import COMPLETE, RUNNING, Job, Outcome, Record

LEASE = 10.0
TERMS = WorkerTerms({}, {}, "digits", LEASE)


def found(job: Job) -> Outcome:
    loss = int(job.digest[:6], 16) / 1e6
    return make_outcome(loss=loss)


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return small_candidates()


def search(path: Path, candidates: Candidates, trials: int = 8) -> Search:
    journal = path / "study.journal"
    if not journal.exists():
        path.mkdir(exist_ok=True)
        Store.create(journal, objectives_named(["loss", "latency_ms"]))
    plan = SearchPlan(trials=trials, sampler="random", confirm_seeds=1)
    return Search(candidates, plan, Store(journal, writable=True))


class FakeWorker:
    """Takes a job in one step and delivers it in a later one; may go silent in between."""

    def __init__(self, name: str, exchange: Exchange, *, steps: int = 2) -> None:
        self.name = name
        self.exchange = exchange
        self.steps = steps
        self.silent = False
        self.ticket: Ticket | None = None
        self.done: list[int] = []
        self.refused: list[int] = []
        self._left = self._beat = 0

    def step(self) -> None:
        if self.silent or (self.exchange.terms() is None):
            return
        self._beat += 1
        if self.ticket is None:
            self.ticket, self._left = self.exchange.take(self.name), self.steps
        else:
            self._left -= 1
            if self._left <= 0:
                self.deliver()
        ticket = self.ticket
        self.exchange.show(
            Presence(
                self.name,
                {"host": "here", "pid": 1},
                self._beat,
                ticket.id if ticket else None,
                ticket.job.trial if ticket else None,
                "now",
            )
        )

    def deliver(self) -> None:
        assert self.ticket is not None
        trial = self.ticket.job.trial
        good = self.exchange.deliver(self.ticket.id, self.name, found(self.ticket.job))
        (self.done if good else self.refused).append(trial)
        self.ticket = None


class Heard(SilentObserver):
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.reasons: list[str] = []
        self.stages: list[str] = []

    def finished(self, record: Record) -> None:
        self.records.append(record)

    def lost(self, job: Job, reason: str) -> None:
        self.reasons.append(reason)

    def stage(self, text: str) -> None:
        self.stages.append(text)


class Stopped(Exception):
    """Of a driver that is killed."""


def drive(
    core: Search,
    exchange: Exchange,
    workers: list[FakeWorker],
    during: Callable[[int], None] = lambda step: None,
    *,
    most: int | None = None,
) -> Heard:
    """A second passes between two looks; `during` is called with the number of the look."""
    clock, heard, looks = VirtualClock(), Heard(), 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        assert looks < 1000
        clock.now += 1.0
        for worker in workers:
            worker.step()
        during(looks)

    WorkerExecutor(exchange, TERMS, workers=most, clock=clock, sleep=sleep).run(core, heard)
    return heard


def test_workers_do_all_jobs_and_are_told_the_end(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    workers = [FakeWorker(name, exchange) for name in "ab"]
    core = search(tmp_path, candidates)
    heard = drive(core, exchange, workers)
    assert sorted(workers[0].done + workers[1].done) == list(range(8))
    assert all(worker.done for worker in workers)
    assert {record.state for record in core.records} == {COMPLETE}
    assert len(heard.records) == 8 and not heard.reasons
    assert heard.stages == ["waiting for workers: start them with nas worker"]
    terms = exchange.terms()
    assert terms is not None and terms.closed
    assert exchange.states() == {} and not list((tmp_path / "jobs" / "outcomes").iterdir())
    local = search(tmp_path / "other", candidates)
    SimulatedExecutor(found, workers=2).run(local)
    assert [record.digest for record in core.records] == [item.digest for item in local.records]
    assert [record.loss for record in core.records] == [item.loss for item in local.records]


def test_no_more_jobs_are_out_than_asked_for(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    workers = [FakeWorker(name, exchange) for name in "abcd"]
    out: list[int] = []
    drive(
        search(tmp_path, candidates),
        exchange,
        workers,
        lambda _: out.append(len(exchange.states())),
        most=2,
    )
    assert max(out) == 2


def test_why_a_worker_has_left_is_told_once(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    core = search(tmp_path, candidates)
    gone = Presence("gone", {"host": "here", "pid": 1}, 9, None, None, "now", left="no space left")
    exchange.publish(TERMS)
    exchange.show(gone)
    heard = drive(core, exchange, [FakeWorker("a", exchange)])
    assert heard.stages.count("gone has left: no space left") == 1
    assert "gone" not in {presence.worker for presence in exchange.workers()}
    assert {record.state for record in core.records} == {COMPLETE}


def test_a_silent_workers_job_goes_to_another_and_its_late_outcome_is_refused(
    tmp_path: Path, candidates: Candidates
) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    frozen, other = FakeWorker("frozen", exchange, steps=3), FakeWorker("other", exchange)
    core = search(tmp_path, candidates)

    def during(look: int) -> None:
        frozen.silent = frozen.ticket is not None and look < 40
        if frozen.ticket is not None and look == 40:
            frozen.deliver()

    other.steps = 5
    heard = drive(core, exchange, [frozen, other], during)
    assert heard.reasons == ["silent for more than 10 s (frozen)"], frozen.refused
    (late,) = frozen.refused
    assert late in other.done and late not in frozen.done
    assert sorted(frozen.done + other.done) == list(range(8))
    assert {record.state for record in core.records} == {COMPLETE}


def test_what_a_killed_driver_had_given_out_goes_on(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    workers = [FakeWorker("fast", exchange, steps=1), FakeWorker("slow", exchange, steps=30)]

    def killed(look: int) -> None:
        if workers[0].done == [0] and workers[1].ticket is not None:
            raise Stopped

    with pytest.raises(Stopped):
        drive(search(tmp_path, candidates), exchange, workers, killed)
    for _ in range(5):
        workers[0].step()  # it goes on without a driver
    done = list(workers[0].done)
    core = search(tmp_path, candidates)
    assert sum(record.state == RUNNING for record in core.records) >= 2
    heard = drive(core, exchange, workers)
    assert not heard.reasons and not workers[0].refused and not workers[1].refused
    everything = workers[0].done + workers[1].done
    assert sorted(everything) == list(range(8)), "no outcome was lost, and none found twice"
    assert workers[0].done[: len(done)] == done
    assert {record.state for record in core.records} == {COMPLETE}


def test_a_driver_that_was_frozen_takes_nobody_for_dead(
    tmp_path: Path, candidates: Candidates
) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    worker = FakeWorker("a", exchange, steps=4)
    clock, heard = VirtualClock(), Heard()

    def sleep(_: float) -> None:
        # Every other look comes long after the lease, in which the worker's heart beat once.
        clock.now += 100.0 if clock.now % 2 else 1.0
        worker.step()

    WorkerExecutor(exchange, TERMS, clock=clock, sleep=sleep).run(
        search(tmp_path, candidates, 4), heard
    )
    assert not heard.reasons and sorted(worker.done) == [0, 1, 2, 3]


def test_a_torn_outcome_is_evaluated_again(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    worker = FakeWorker("a", exchange)
    torn: list[str] = []

    def during(_: int) -> None:
        for file in (tmp_path / "jobs" / "outcomes").iterdir():
            if not torn and file.name.startswith("00000002"):
                file.write_text(file.read_text()[:40])
                torn.append(file.name)

    core = search(tmp_path, candidates)
    heard = drive(core, exchange, [worker], during)
    assert torn and heard.reasons == ["lost (its outcome cannot be read)"]
    assert worker.done.count(2) == 2
    assert {record.state for record in core.records} == {COMPLETE}


def test_a_job_that_nobody_survives_fails(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    workers = [FakeWorker(name, exchange) for name in "abc"]

    def during(_: int) -> None:
        for worker in workers:
            if worker.ticket is not None and worker.ticket.job.trial == 3:
                worker.silent = True

    core = search(tmp_path, candidates)
    drive(core, exchange, workers, during)
    states = {record.trial: record.state for record in core.records}
    assert states.pop(3) == "FAILED" and set(states.values()) == {COMPLETE}
    failure = core.records[3].failure
    assert failure is not None and failure.endswith("; it was given out 2 times")


def test_the_dead_are_forgotten(tmp_path: Path, candidates: Candidates) -> None:
    exchange = FolderExchange(tmp_path / "jobs")
    dead, living = FakeWorker("dead", exchange), FakeWorker("living", exchange, steps=8)

    def during(look: int) -> None:
        dead.silent = look > 2

    drive(search(tmp_path, candidates), exchange, [dead, living], during)
    assert [presence.worker for presence in exchange.workers()] == ["living"]
