"""Jobs on this machine: one process for each worker, JSON lines between them."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Sequence
from pathlib import Path

from nas.base.errors import StorageError, TrainingError
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import lost_with_worker
from nas.execution.observer import Observer
from nas.execution.workers.child_process import ChildProcess
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
    workers: how many processes.
    log: file that takes what they print.
    program: what a worker runs, which must speak as `nas.execution.workers.local_worker` does.
    """

    def __init__(
        self,
        spec: EvaluatorSpec,
        *,
        workers: int,
        log: Path,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.spec = spec
        self.program = program
        self.workers = workers
        self.log = log

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises StorageError for what no worker can mend, TrainingError when workers do not start.
        """
        inbox: queue.Queue[tuple[_Worker, str | None]] = queue.Queue()
        pool = [
            _Worker(self.program, self.spec, inbox, self.log, number)
            for number in range(self.workers)
        ]
        try:
            while True:
                for worker in pool:
                    if worker.idle and (job := search.ask()) is not None:
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
        self, worker: _Worker, message: dict[str, object], search: Search, observer: Observer
    ) -> None:
        if "ready" in message:
            worker.ready = True
        elif "broken" in message:
            raise StorageError(f"a worker cannot go on: {message['broken']}")
        else:
            assert worker.job is not None
            record = search.tell(worker.job, Outcome.from_dict(message))
            worker.job = None
            assert record is not None, "a finished job is not lost"
            observer.finished(record)

    def _replace(
        self,
        worker: _Worker,
        search: Search,
        observer: Observer,
        inbox: queue.Queue[tuple[_Worker, str | None]],
    ) -> _Worker:
        """Start a worker in the place of one that died, and say what became of its job."""
        reason = worker.wait()
        if worker.job is not None:
            record = search.tell(worker.job, lost_with_worker(worker.job, reason))
            if record is None:
                observer.lost(worker.job, reason)
            else:
                observer.finished(record)
        starts = 1 if worker.ready else worker.starts + 1
        if starts > _STARTS:
            raise TrainingError(f"workers die before they are ready ({reason}); see {self.log}")
        return _Worker(self.program, self.spec, inbox, self.log, worker.number, starts=starts)


class _Worker:
    """A worker process, and the job that it has."""

    def __init__(
        self,
        program: Sequence[str],
        spec: EvaluatorSpec,
        inbox: queue.Queue[tuple[_Worker, str | None]],
        log: Path,
        number: int,
        *,
        starts: int = 1,
    ) -> None:
        self.number = number
        self.ready = False
        self.job: Job | None = None
        self.starts = starts
        self._process = ChildProcess(
            program,
            threads=spec.proxy.threads,
            log=log,
            heard=lambda line: inbox.put((self, line)),
        )
        self._process.write({"spec": spec.to_dict(), "worker": number})

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None

    def send(self, job: Job) -> None:
        self.job = job
        self._process.write(job.to_dict())

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> str:
        """Wait for its end, and say how it came."""
        return self._process.wait(_STOP_SECONDS)
