from __future__ import annotations

from pathlib import Path

import pytest
from support.evaluations import make_evaluation
from support.searches import small_candidates

from nas.execution.observer import SilentObserver
from nas.execution.simulated import SimulatedExecutor, VirtualClock
from nas.models.candidates import Candidates
from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.record import RUNNING, Job, Outcome, Record

EVALUATION = make_evaluation()


def found(job: Job) -> Outcome:
    return Outcome(EVALUATION)


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return small_candidates()


def search(path: Path, candidates: Candidates, clock: VirtualClock, trials: int = 9) -> Search:
    path.mkdir(exist_ok=True)
    store = Store.create(path / "study.journal", objectives_named(["loss", "latency_ms"]))
    plan = SearchPlan(trials=trials, sampler="random", confirm_seeds=1)
    return Search(candidates, plan, store, clock=clock)


class Log(SilentObserver):
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.events: list[tuple[str, int, float]] = []

    def started(self, job: Job) -> None:
        self.events.append(("started", job.trial, self.clock()))

    def finished(self, record: Record) -> None:
        self.events.append(("finished", record.trial, self.clock()))

    def lost(self, job: Job, reason: str) -> None:
        self.events.append((reason, job.trial, self.clock()))


def test_workers_take_turns_by_the_clock(tmp_path: Path, candidates: Candidates) -> None:
    clock = VirtualClock(100.0)
    log = Log(clock)
    seconds = [5.0, 1.0, 1.0, 3.0]
    executor = SimulatedExecutor(
        found, seconds=lambda job: seconds[job.trial], workers=2, clock=clock
    )
    executor.run(search(tmp_path, candidates, clock, 4), log)
    assert log.events == [
        ("started", 0, 100.0),
        ("started", 1, 100.0),
        ("finished", 1, 101.0),
        ("started", 2, 101.0),
        ("finished", 2, 102.0),
        ("started", 3, 102.0),
        ("finished", 0, 105.0),  # of two that end at once the first given comes first
        ("finished", 3, 105.0),
    ]


@pytest.mark.parametrize(("workers", "expected"), [(1, 36.0), (3, 12.0), (100, 4.0)])
def test_more_workers_are_done_sooner(
    tmp_path: Path, candidates: Candidates, workers: int, expected: float
) -> None:
    clock = VirtualClock()
    executor = SimulatedExecutor(found, seconds=lambda job: 4.0, workers=workers, clock=clock)
    executor.run(search(tmp_path, candidates, clock))
    assert clock.now == expected


def test_the_same_jobs_end_in_the_same_order(tmp_path: Path, candidates: Candidates) -> None:
    events = []
    for name in "ab":
        clock = VirtualClock()
        log = Log(clock)
        executor = SimulatedExecutor(
            found, seconds=lambda job: 1 + job.trial % 3, workers=3, clock=clock
        )
        executor.run(search(tmp_path / name, candidates, clock), log)
        events.append(log.events)
    assert events[0] == events[1]


def test_a_lost_job_is_heard_of(tmp_path: Path, candidates: Candidates) -> None:
    clock = VirtualClock()
    log = Log(clock)

    def dies_once(job: Job) -> Outcome:
        if job.trial == 2 and job.attempt == 0:
            return Outcome(failure="killed", lost=True)
        return found(job)

    SimulatedExecutor(dies_once, clock=clock).run(search(tmp_path, candidates, clock, 4), log)
    assert ("killed", 2, 3.0) in log.events
    assert ("finished", 2, 4.0) in log.events


def test_what_raises_ends_the_run_as_a_kill_would(tmp_path: Path, candidates: Candidates) -> None:
    clock = VirtualClock()

    def killed(job: Job) -> Outcome:
        if job.trial == 3:
            raise KeyboardInterrupt
        return found(job)

    core = search(tmp_path, candidates, clock)
    with pytest.raises(KeyboardInterrupt):
        SimulatedExecutor(killed, workers=2, clock=clock).run(core)
    stored = Store(tmp_path / "study.journal", writable=False).records()
    assert {record.trial for record in stored if record.state == RUNNING} == {3, 4}
