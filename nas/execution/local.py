"""Jobs on this machine: processes that work at one or several, JSON lines between them."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, get_args

from nas.base.errors import StorageError, TrainingError
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import lost_with_worker
from nas.execution.observer import Observer
from nas.execution.workers.child_process import ChildProcess
from nas.execution.workers.throughput import measure_side_by_side
from nas.spec.side_by_side import Placed, Placement
from nas.strategy.search import Search
from nas.study.record import Job, Outcome

__all__ = ["PROGRAM", "LocalExecutor"]

PROGRAM = (sys.executable, "-m", "nas.execution.workers.local_worker")

_TICK_SECONDS = 0.5
_STOP_SECONDS = 2
_STARTS = 3  # of a worker that dies before it is ready


class LocalExecutor:
    """The executor of processes on this machine.

    spec: what their evaluators are made from.
    workers: how many jobs at a time; None: as many on each GPU as use it best, which is measured
        first.
    side_by_side: whether each has a process of its own, or those of a GPU take turns in one, in
        streams; `auto`: whichever is faster, where that is measured, else processes.
    gpus: what CUDA calls those that they share in turn; none: they train on the cores.
    measured_on: canonical JSON of the network whose trainings are measured, which must have blocks;
        None: the plain one.
    log: file that takes what they print.
    program: what a worker runs, which must speak as `nas.execution.workers.local_worker` does.
    """

    def __init__(
        self,
        spec: EvaluatorSpec,
        *,
        workers: int | None,
        log: Path,
        gpus: Sequence[str] = (),
        side_by_side: Placement = "processes",
        measured_on: str | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        assert workers is not None or gpus
        self.spec = spec
        self.program = program
        self.workers = workers
        self.side_by_side = side_by_side
        self.gpus = tuple(gpus)
        self.measured_on = measured_on or spec.anchor
        self.log = log

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises StorageError for what no worker can mend, TrainingError when workers do not start.
        """
        inbox: queue.Queue[tuple[_Worker, str | None]] = queue.Queue()
        pool = [
            self._worker(inbox, number, at_a_time)
            for number, at_a_time in enumerate(self._jobs_of_workers(observer))
        ]
        try:
            while True:
                for worker in pool:
                    while worker.idle and (job := search.ask()) is not None:
                        worker.send(job)
                        observer.started(job)
                if search.finished:
                    return
                observer.tick(search)
                try:
                    worker, line = inbox.get(timeout=_TICK_SECONDS)
                except queue.Empty:
                    continue
                if line is not None:
                    self._hear(worker, json.loads(line), search, observer)
                else:
                    pool[pool.index(worker)] = self._replace(worker, search, observer, inbox)
        finally:
            for worker in pool:
                worker.terminate()
            for worker in pool:
                worker.wait()

    def _hear(
        self, worker: _Worker, message: dict[str, Any], search: Search, observer: Observer
    ) -> None:
        if "ready" in message:
            worker.ready = True
        elif "broken" in message:
            raise StorageError(f"a worker cannot go on: {message['broken']}")
        else:
            job = worker.jobs.pop(message["ticket"])
            record = search.tell(job, Outcome.from_dict(message["outcome"]))
            assert record is not None, "a finished job is not lost"
            observer.finished(record)

    def _replace(
        self,
        worker: _Worker,
        search: Search,
        observer: Observer,
        inbox: queue.Queue[tuple[_Worker, str | None]],
    ) -> _Worker:
        """Start a worker in the place of one that died, and say what became of its jobs."""
        reason = worker.wait()
        for job in worker.jobs.values():
            record = search.tell(job, lost_with_worker(job, reason))
            if record is None:
                observer.lost(job, reason)
            else:
                observer.finished(record)
        starts = 1 if worker.ready else worker.starts + 1
        if starts > _STARTS:
            raise TrainingError(f"workers die before they are ready ({reason}); see {self.log}")
        return self._worker(inbox, worker.number, worker.at_a_time, starts=starts)

    def _worker(
        self,
        inbox: queue.Queue[tuple[_Worker, str | None]],
        number: int,
        at_a_time: int,
        *,
        starts: int = 1,
    ) -> _Worker:
        gpu = self.gpus[number % len(self.gpus)] if self.gpus else None
        return _Worker(
            self.program,
            self.spec,
            inbox,
            log=self.log,
            number=number,
            gpu=gpu,
            at_a_time=at_a_time,
            starts=starts,
        )

    def _jobs_of_workers(self, observer: Observer) -> list[int]:
        """Return how many jobs at a time each worker has."""
        if self.workers is None:
            placements = get_args(Placed) if self.side_by_side == "auto" else (self.side_by_side,)
            chosen = measure_side_by_side(
                self.spec,
                self.measured_on,
                gpus=self.gpus,
                placements=placements,
                log=self.log,
                say=observer.stage,
            )
            workers, streams = chosen.number * len(self.gpus), chosen.placement == "streams"
        else:
            workers, streams = self.workers, self.side_by_side == "streams"
        if not streams:
            return [1] * workers
        processes = min(workers, max(1, len(self.gpus)))
        return [workers // processes + (row < workers % processes) for row in range(processes)]


class _Worker:
    """A worker process, and the jobs that it has, by their tickets."""

    def __init__(
        self,
        program: Sequence[str],
        spec: EvaluatorSpec,
        inbox: queue.Queue[tuple[_Worker, str | None]],
        *,
        log: Path,
        number: int,
        gpu: str | None,
        at_a_time: int,
        starts: int = 1,
    ) -> None:
        self.number, self.at_a_time = number, at_a_time
        self.ready = False
        self.jobs: dict[int, Job] = {}
        self._tickets = count()
        self.starts = starts
        self._process = ChildProcess(
            program,
            threads=spec.proxy.threads,
            log=log,
            heard=lambda line: inbox.put((self, line)),
            environment={} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu},
        )
        self._process.write({"spec": spec.to_dict(), "worker": number, "at_a_time": at_a_time})

    @property
    def idle(self) -> bool:
        return self.ready and len(self.jobs) < self.at_a_time

    def send(self, job: Job) -> None:
        ticket = next(self._tickets)
        self.jobs[ticket] = job
        self._process.write({"ticket": ticket, "job": job.to_dict()})

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> str:
        """Wait for its end, and say how it came."""
        return self._process.wait(_STOP_SECONDS)
