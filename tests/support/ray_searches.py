"""Searches over a small space, and somebody who watches them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support.searches import small_candidates

from nas.execution.observer import SilentObserver
from nas.models.candidates import Candidates
from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.record import Job, Record


def made(path: Path, candidates: Candidates, trials: int = 20) -> Search:
    journal = path / "study.journal"
    if not journal.exists():
        path.mkdir(exist_ok=True)
        Store.create(journal, objectives_named(["loss", "latency_ms"]))
    plan = SearchPlan(trials=trials, sampler="nsga2", confirm_seeds=1)
    return Search(candidates, plan, Store(journal, writable=True))


def reopened(path: Path) -> Search:
    """By name, so that Ray Tune can keep how."""
    return made(path, small_candidates(), trials=12)


class Watch(SilentObserver):
    """Does something when so many jobs have begun; remembers what was lost."""

    def __init__(self, at: int = -1, then: Callable[[], object] = lambda: None) -> None:
        self.at = at
        self.then = then
        self.begun = 0
        self.lost_jobs: list[tuple[int, str]] = []
        self.stages: list[str] = []
        self.records: list[Record] = []

    def started(self, job: Job) -> None:
        self.begun += 1
        if self.begun == self.at:
            self.then()

    def finished(self, record: Record) -> None:
        self.records.append(record)

    def lost(self, job: Job, reason: str) -> None:
        self.lost_jobs.append((job.trial, reason))

    def stage(self, text: str) -> None:
        self.stages.append(text)


def all_accounted_for(search: Search, watch: Watch) -> None:
    """Every trial came to one end, and one only; nothing runs."""
    told = Counter(record.trial for record in watch.records)
    assert set(told) == {record.trial for record in search.records}
    assert set(told.values()) == {1}
    stored = Store(search._store.where, writable=False).records()
    assert stored == list(search.records)
    assert all(record.finished for record in stored)
