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
    """A job that is out.

    state: of its ticket, as last heard; None: nothing was heard yet.
    heard: when, by the driver's clock.
    worker: who has it, as far as was heard.
    """

    job: Job
    state: str | None
    heard: float
    worker: str = ""


class WorkerExecutor:
    """The executor of workers that nobody starts from here.

    exchange: where driver and workers meet.
    terms: what workers must fulfil.
    workers: how many jobs are out at most; None: as many as there are workers.
    clock: seconds; nobody sets it.
    sleep: waits for so many seconds.
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
        self._open: dict[str, _OpenJob] = {}
        self._beats: dict[str, tuple[int, float]] = {}
        self._looked = clock()

    def run(self, search: Search, observer: Observer) -> None:
        """Give out jobs until `search.finished`. Raises StorageError when the exchange fails."""
        self.exchange.publish(self.terms)
        self._take_up(search)
        pause, waits = _SHORTEST, False
        while True:
            alive = self._count_alive(observer)
            gave_out = self._give_out(search, observer, alive)
            if search.finished:
                self.exchange.publish(replace(self.terms, closed=True))
                return
            observer.tick(search)
            if not alive and not waits:
                observer.stage("waiting for workers: start them with nas worker")
            waits = not alive
            happened = self._collect(search, observer) or gave_out
            pause = _SHORTEST if happened else min(1.5 * pause, _LONGEST, self.terms.lease / 10)
            self._sleep(pause)

    def _take_up(self, search: Search) -> None:
        """Take up what was given out when the last driver ended, whoever has it."""
        tickets: dict[tuple[int, int], OpenTicket] = {}
        spare = []
        for item in self.exchange.open_tickets():
            key = item.ticket.job.trial, item.ticket.job.rung
            first = tickets.setdefault(key, item)
            if first is not item:  # one job was given out twice: a done ticket is the better
                better, worse = (first, item) if first.state == DONE else (item, first)
                tickets[key] = better
                spare.append(worse)
        running = sum(record.state == RUNNING for record in search.records)
        for _ in range(running):  # a search asks for these first
            job = search.ask()
            if job is None:
                break
            match = tickets.pop((job.trial, job.rung), None)
            if match is not None and match.ticket.job.digest == job.digest:
                self._open[match.ticket.id] = _OpenJob(job, None, self._clock())
            else:
                self._offer(job)
        for item in (*tickets.values(), *spare):
            # What is done cannot be withdrawn, and a long search leaves thousands of those.
            if item.state == DONE or not self.exchange.withdraw(item.ticket.id):
                self.exchange.settle(item.ticket.id)

    def _give_out(self, search: Search, observer: Observer, alive: int) -> bool:
        """Offer as many jobs as there is room for. Returns whether there was one."""
        room = alive if self.workers is None else min(alive, self.workers)
        gave_out = False
        while len(self._open) < room and (job := search.ask()) is not None:
            self._offer(job)
            gave_out = True
        if not gave_out and not self._open and not search.finished:
            # Without a worker there is nothing to ask for, but the search may be at its end.
            if (job := search.ask()) is not None:
                self._offer(job)
                gave_out = True
        return gave_out

    def _offer(self, job: Job) -> None:
        self._open[self.exchange.offer(job)] = _OpenJob(job, None, self._clock())

    def _count_alive(self, observer: Observer) -> int:
        """Count the workers that were heard of within a lease.

        Also note what they work on, and why some have left.
        """
        presences, now, alive = self.exchange.workers(), self._clock(), 0
        self._skip_silence(now)
        for presence in presences:
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
        """Forgive silence while this driver was frozen, or the storage away."""
        gap, self._looked = now - self._looked, now
        if gap > self.terms.lease / 4:
            for open_job in self._open.values():
                open_job.heard += gap
            self._beats = {name: (beat, at + gap) for name, (beat, at) in self._beats.items()}

    def _note(self, presence: Presence, now: float) -> None:
        open_job = self._open.get(presence.ticket or "")
        if open_job is not None:
            open_job.heard = now
            open_job.worker = presence.worker

    def _collect(self, search: Search, observer: Observer) -> bool:
        """Hear what became of the jobs that are out. Returns whether anything did."""
        states, now, happened = self.exchange.states(), self._clock(), False
        for ticket, open_job in list(self._open.items()):
            state = states.get(ticket)
            if state is not None and state != open_job.state:
                open_job.state, open_job.heard, happened = state, now, True
                if state == TAKEN:
                    observer.started(open_job.job)
            if state == WAITING:
                open_job.heard = now
            if state == DONE:
                outcome = self.exchange.outcome(ticket)
                if outcome is None:
                    outcome = Outcome(failure="its outcome cannot be read", lost=True)
                self._tell(ticket, outcome, search, observer)
            elif self._looked - open_job.heard > self.terms.lease:
                happened = self._take_back(ticket, open_job, search, observer) or happened
        return happened

    def _take_back(
        self, ticket: str, open_job: _OpenJob, search: Search, observer: Observer
    ) -> bool:
        """Take a job from a silent worker. False: its outcome was delivered after all."""
        if not self.exchange.withdraw(ticket):
            return False
        reason = f"silent for more than {self.terms.lease:.0f} s"
        reason += f" ({open_job.worker})" if open_job.worker else ""
        failure = f"its worker was {reason}"
        if open_job.job.attempt:
            failure += f"; it was given out {open_job.job.attempt + 1} times"
        self._tell(ticket, Outcome(failure=failure, lost=True), search, observer, reason)
        return True

    def _tell(
        self,
        ticket: str,
        outcome: Outcome,
        search: Search,
        observer: Observer,
        reason: str | None = None,
    ) -> None:
        """Tell the search what came of a job.

        reason: what its worker was, if the job is lost; None: the outcome says it.
        """
        job = self._open.pop(ticket).job
        record = search.tell(job, outcome)
        # Only now: a driver that is killed here finds the outcome again, and its trial ended.
        self.exchange.settle(ticket)
        if record is None:
            observer.lost(job, reason or f"lost ({outcome.failure})")
        else:
            observer.finished(record)
