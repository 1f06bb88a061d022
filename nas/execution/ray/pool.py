"""Jobs on a Ray cluster: a pool of actors that grows and shrinks with its nodes.

The driver owns the study and decides; an actor that dies costs its job one attempt.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import ray
from ray.exceptions import RayError

from nas.base.errors import StorageError, TrainingError
from nas.execution.executor import lost_with_worker
from nas.execution.observer import Observer
from nas.execution.ray.cluster import capacity, gauge_options, trial_options
from nas.execution.ray.workers import Gauge, RayWorker, WorkerFactories
from nas.spec.runner import Ray
from nas.strategy.search import Search
from nas.study.record import Job, Outcome

__all__ = ["RayExecutor", "cause", "gauge_actor", "tell"]

_TICK_SECONDS = 0.5
_LOOK_SECONDS = 2.0  # between two looks at what nodes there are
_PATIENCE_SECONDS = 30.0  # without any worker, before it is said what is waited for
_STARTS = 3  # of a worker that dies before it is ready


def gauge_actor(spec: dict[str, Any], plan: Ray, makers: WorkerFactories) -> Any:
    """Start the actor that measures; Ray starts it again where it dies, and measures once more."""
    if makers.gauge is None:
        return None
    actor = ray.remote(Gauge).options(
        **gauge_options(plan, makers.gauge_gpus), max_restarts=-1, max_task_retries=1
    )
    return actor.remote(makers.gauge, spec)


@dataclass(eq=False)
class _Worker:
    """An actor and what it does.

    awaited: the answer that is to come, if any.
    """

    actor: Any
    starts: int
    awaited: Any
    ready: bool = False
    job: Job | None = None


@dataclass
class RayExecutor:
    """The executor of actors on a Ray cluster; it needs a connection (`cluster.connect`).

    spec: plain values that evaluators are made from.
    plan: what a trial takes of a node.
    workers: actors; None: as many as the nodes hold, also those that join later.
    threads: that a training computes with.
    makers: what workers are made of.
    """

    spec: dict[str, Any]
    plan: Ray
    workers: int | None = None
    threads: int = 1
    makers: WorkerFactories = field(default_factory=WorkerFactories)

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises StorageError for what no worker can mend, TrainingError when workers do not start.
        """
        pool = _Pool(self)
        try:
            while True:
                pool.fill(observer)
                for worker in pool.idle():
                    job = search.ask()
                    if job is None:
                        break
                    pool.send(worker, job)
                    observer.started(job)
                if search.finished:
                    return
                observer.tick(search)
                for worker in pool.answered():
                    pool.hear(worker, search, observer)
        finally:
            pool.stop()


def tell(search: Search, observer: Observer, job: Job, outcome: Outcome, reason: str) -> None:
    """Tell the search, and whoever watches it.

    reason: what the worker was, if the job is lost.
    """
    record = search.tell(job, outcome)
    if record is None:
        observer.lost(job, reason)
    else:
        observer.finished(record)


class _Pool:
    """The actors of an executor, and the answers that they owe."""

    def __init__(self, executor: RayExecutor) -> None:
        self._executor = executor
        self._gauge = gauge_actor(executor.spec, executor.plan, executor.makers)
        self._actor = ray.remote(RayWorker).options(
            **trial_options(executor.plan, threads=executor.threads)
        )
        self._workers: list[_Worker] = []
        self._awaited: dict[Any, _Worker] = {}
        self._numbers = count()
        self._wanted = 0
        self._looked = -_LOOK_SECONDS
        self._lonely_since: float | None = time.monotonic()

    def fill(self, observer: Observer) -> None:
        """Start workers for nodes that have joined, and in the place of those that died."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            # One waits for a node even where there is none: a cluster that grows hears of it.
            fixed = self._executor.workers
            taken = self._executor.makers.gauge_gpus
            self._wanted = fixed or max(1, capacity(self._executor.plan, gauge_gpus=taken))
        while len(self._workers) < self._wanted:
            self._start(1)
        if any(worker.ready for worker in self._workers):
            self._lonely_since = None
        elif self._lonely_since is None:
            self._lonely_since = now
        elif now - self._lonely_since > _PATIENCE_SECONDS:
            self._lonely_since = now
            wanted = ", ".join(f"{n:g} {name}" for name, n in self._executor.plan.needs.items())
            observer.stage(f"waiting for workers: a trial takes {wanted} of a node")

    def _start(self, starts: int) -> None:
        makers, spec = self._executor.makers, self._executor.spec
        actor: Any = self._actor.remote(makers.evaluator, spec, next(self._numbers), self._gauge)
        worker = _Worker(actor, starts, awaited=actor.ready.remote())
        self._workers.append(worker)
        self._awaited[worker.awaited] = worker

    def idle(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.ready and worker.job is None]

    def send(self, worker: _Worker, job: Job) -> None:
        worker.job = job
        worker.awaited = worker.actor.evaluate.remote(job.to_dict())
        self._awaited[worker.awaited] = worker

    def answered(self) -> list[_Worker]:
        """Return those that have answered or died; waits for the first for a while."""
        waiting = list(self._awaited)
        if not waiting:  # all that is left is left out, or on its way
            time.sleep(_TICK_SECONDS)
            return []
        first, rest = ray.wait(waiting, num_returns=1, timeout=_TICK_SECONDS)
        if first and rest:
            more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
            first = [*first, *more]
        return [self._awaited.pop(reference) for reference in first]

    def hear(self, worker: _Worker, search: Search, observer: Observer) -> None:
        try:
            message = ray.get(worker.awaited)
        except RayError as error:
            self._bury(worker, cause(error), search, observer)
            return
        if "broken" in message:
            if worker.job is not None or not any(other.ready for other in self._workers):
                raise StorageError(f"a worker cannot go on: {message['broken']}")
            # It stays and holds its place, so that no other is started where none can work.
            observer.stage(f"a worker is left out: {message['broken']}")
            return
        if worker.job is None:
            worker.ready = True
            return
        job, worker.job = worker.job, None
        outcome = Outcome.from_dict(message)
        tell(search, observer, job, outcome, outcome.failure or "")

    def _bury(self, worker: _Worker, reason: str, search: Search, observer: Observer) -> None:
        """Say what became of its job, and put another in its place while there is room."""
        self._workers.remove(worker)
        self._looked = -_LOOK_SECONDS
        # It may only be out of reach: what it still does must reach nobody.
        ray.kill(worker.actor)
        if worker.job is not None:
            tell(
                search,
                observer,
                worker.job,
                lost_with_worker(worker.job, reason),
                f"lost ({reason})",
            )
        if not worker.ready:
            if worker.starts >= _STARTS:
                raise TrainingError(f"workers die before they are ready: {reason}")
            self._start(worker.starts + 1)

    def stop(self) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)
        if self._gauge is not None:
            ray.kill(self._gauge)


def cause(error: RayError) -> str:
    """Return one line of Ray's many: the one that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "because" in line or "died" in line or "Error" in line]
    return (reasons[-1] if reasons else lines[0] if lines else type(error).__name__)[:300]
