"""Jobs on a virtual clock: a whole search in milliseconds, with any number of workers."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from nas.execution.observer import Observer, SilentObserver
from nas.strategy.search import Search
from nas.study.record import Job, Outcome

__all__ = ["SimulatedExecutor", "VirtualClock"]


class VirtualClock:
    """A clock that stands still until somebody moves it.

    Give the same one to the search and its executor.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class SimulatedExecutor:
    """The executor of workers that take no time but that of the clock.

    The same jobs end in the same order.
    evaluate: what comes of a job, called when it ends; what it raises ends the run there, as if
        the process were killed before it heard of that job.
    seconds: how long a job takes.
    workers: how many jobs run at a time.
    clock: the search's own; None: another.
    """

    def __init__(
        self,
        evaluate: Callable[[Job], Outcome],
        *,
        seconds: Callable[[Job], float] = lambda job: 1.0,
        workers: int = 1,
        clock: VirtualClock | None = None,
    ) -> None:
        self.evaluate = evaluate
        self.seconds = seconds
        self.workers = workers
        self.clock = clock or VirtualClock()

    def run(self, search: Search, observer: Observer | None = None) -> None:
        """Carry out jobs until `search.finished`; ties come in their order."""
        observer = observer or SilentObserver()
        order = count()
        running: list[tuple[float, int, Job]] = []
        while True:
            while len(running) < self.workers and (job := search.ask()) is not None:
                observer.started(job)
                heapq.heappush(running, (self.clock.now + self.seconds(job), next(order), job))
            if search.finished:
                return
            assert running, "a search that is not finished has something to do"
            self.clock.now, _, job = heapq.heappop(running)
            outcome = self.evaluate(job)
            record = search.tell(job, outcome)
            if record is None:
                observer.lost(job, outcome.failure or "lost")
            else:
                observer.finished(record)
            observer.tick(search)
