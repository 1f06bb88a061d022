"""Jobs on independent workers (`nas worker`), which come, go and die as they like.

The driver owns the study, asks and tells; jobs and outcomes go through an exchange, and what a
driver that died had given out is taken up by the next one: workers never notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from nas.base.process import boot_seconds
from nas.execution.exchange import DONE, TAKEN, WAITING, Exchange, OpenTicket, Presence, WorkerTerms
from nas.execution.observer import Observer
from nas.strategy.search import Search
from nas.study.record import RUNNING, Job, Outcome

__all__ = ["WorkerExecutor"]

_SHORTEST, _LONGEST = 0.05, 1.0
"""Seconds between two looks: short while things happen."""


@dataclass
class _OpenJob:
    """A job that is out: what was last heard of it, and when by the driver's clock."""

    job: Job
    state: str | None
    heard: float
    worker: str = ""


class WorkerExecutor:
    """terms: what workers must fulfil. workers: how many jobs are out at most; None: as many as
    there are workers. clock: seconds; nobody sets it.
    """

    def __init__(
        self,
        exchange: Exchange,
        terms: WorkerTerms,
        *,
        workers: int | None = None,
        clock: Callable[[], float] = boot_seconds,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.exchange = exchange
        self.terms = terms
        self.workers = workers
        self._clock = clock
        self._sleep = sleep
        self._given: dict[str, _OpenJob] = {}
        self._beats: dict[str, tuple[int, float]] = {}
        self._looked = clock()

    def run(self, search: Search, observer: Observer) -> None:
        self.exchange.publish(self.terms)
        self._take_up(search)
        pause, told = _SHORTEST, False
        while True:
            alive = self._alive(observer)
            asked = self._give_out(search, observer, alive)
            if search.finished:
                self.exchange.publish(replace(self.terms, closed=True))
                return
            observer.tick(search)
            if not alive and not told:
                observer.stage("waiting for workers: start them with nas worker")
            told = not alive
            happened = self._collect(search, observer) or asked
            pause = _SHORTEST if happened else min(1.5 * pause, _LONGEST, self.terms.lease / 10)
            self._sleep(pause)

    def _take_up(self, search: Search) -> None:
        """What was given out when the last driver ended goes on, whoever has it."""
        left: dict[tuple[int, int], OpenTicket] = {}
        spare = []
        for item in self.exchange.left():
            key = item.ticket.job.trial, item.ticket.job.rung
            known = left.setdefault(key, item)
            if known is not item:
                worse = item if known.state == DONE else known
                left[key] = item if worse is known else known
                spare.append(worse)
        running = sum(record.state == RUNNING for record in search.records)
        for _ in range(running):  # a search asks for these first
            job = search.ask()
            if job is None:
                break
            found = left.pop((job.trial, job.rung), None)
            if found is not None and found.ticket.job.digest == job.digest:
                self._given[found.ticket.id] = _OpenJob(job, None, self._clock())
            else:
                self._offer(job)
        for item in (*left.values(), *spare):
            # What is done cannot be withdrawn, and a long search leaves thousands of those.
            if item.state == DONE or not self.exchange.withdraw(item.ticket.id):
                self.exchange.settle(item.ticket.id)

    def _give_out(self, search: Search, observer: Observer, alive: int) -> bool:
        room = alive if self.workers is None else min(alive, self.workers)
        asked = False
        while len(self._given) < room and (job := search.ask()) is not None:
            self._offer(job)
            asked = True
        if not asked and not self._given and not search.finished:
            # Without a worker there is nothing to ask for, but the search may be at its end.
            if (job := search.ask()) is not None:
                self._offer(job)
                asked = True
        return asked

    def _offer(self, job: Job) -> None:
        self._given[self.exchange.offer(job)] = _OpenJob(job, None, self._clock())

    def _alive(self, observer: Observer) -> int:
        """How many workers were heard of within a lease; and note what they work on, and why some
        have left.
        """
        shown, now, alive = self.exchange.workers(), self._clock(), 0
        self._skip_silence(now)
        for presence in shown:
            if presence.left is not None:
                observer.stage(f"{presence.worker} has left: {presence.left}")
                self.exchange.forget(presence.worker)
                self._beats.pop(presence.worker, None)
                continue
            beat, heard = self._beats.get(presence.worker, (None, now))
            if beat != presence.beat:
                heard = now
                self._note(presence, now)
            self._beats[presence.worker] = (presence.beat, heard)
            if now - heard <= self.terms.lease:
                alive += 1
            elif now - heard > 2 * self.terms.lease:
                self.exchange.forget(presence.worker)
                del self._beats[presence.worker]
        return alive

    def _skip_silence(self, now: float) -> None:
        """While this driver was frozen, or the storage away, nobody could be heard."""
        gap, self._looked = now - self._looked, now
        if gap > self.terms.lease / 4:
            for given in self._given.values():
                given.heard += gap
            self._beats = {name: (beat, at + gap) for name, (beat, at) in self._beats.items()}

    def _note(self, presence: Presence, now: float) -> None:
        given = self._given.get(presence.ticket or "")
        if given is not None:
            given.heard = now
            given.worker = presence.worker

    def _collect(self, search: Search, observer: Observer) -> bool:
        states, now, happened = self.exchange.states(), self._clock(), False
        for ticket, given in list(self._given.items()):
            state = states.get(ticket)
            if state is not None and state != given.state:
                given.state, given.heard, happened = state, now, True
                if state == TAKEN:
                    observer.started(given.job)
            if state == WAITING:
                given.heard = now
            if state == DONE:
                outcome = self.exchange.outcome(ticket)
                if outcome is None:
                    outcome = Outcome(failure="its outcome cannot be read", lost=True)
                self._tell(ticket, outcome, search, observer)
            elif self._looked - given.heard > self.terms.lease:
                if self.exchange.withdraw(ticket):
                    reason = f"silent for more than {self.terms.lease:.0f} s"
                    reason += f" ({given.worker})" if given.worker else ""
                    failure = f"its worker was {reason}"
                    if given.job.attempt:
                        failure += f"; it was given out {given.job.attempt + 1} times"
                    lost = Outcome(failure=failure, lost=True)
                    self._tell(ticket, lost, search, observer, reason)
                    happened = True
        return happened

    def _tell(
        self,
        ticket: str,
        outcome: Outcome,
        search: Search,
        observer: Observer,
        reason: str | None = None,
    ) -> None:
        """reason: what its worker was, if the job is lost."""
        job = self._given.pop(ticket).job
        record = search.tell(job, outcome)
        # Only now: a driver that is killed here finds the outcome again, and its trial ended.
        self.exchange.settle(ticket)
        if record is None:
            observer.lost(job, reason or f"lost ({outcome.failure})")
        else:
            observer.finished(record)
