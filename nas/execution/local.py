"""Jobs on this machine: one process for each worker, JSON lines between them."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Sequence
from pathlib import Path

from nas.base.errors import StorageError, TrainingError
from nas.base.machine import usable_cores
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import lost_with_worker
from nas.execution.observer import Observer
from nas.execution.side_by_side import choose_number
from nas.execution.workers.child_process import ChildProcess
from nas.execution.workers.throughput import throughput_gauge
from nas.strategy.search import Search
from nas.study.record import Job, Outcome
from nas.training.device import best_device
from nas.training.placement import free_memory

__all__ = ["PROGRAM", "LocalExecutor"]

PROGRAM = (sys.executable, "-m", "nas.execution.workers.local_worker")

_TICK_SECONDS = 0.5
_STOP_SECONDS = 2
_STARTS = 3  # of a worker that dies before it is ready


class LocalExecutor:
    """The executor of processes on this machine.

    spec: what their evaluators are made from.
    workers: how many processes; None: as many on each GPU as use it best, which is measured first.
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
        measured_on: str | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        assert workers is not None or gpus
        self.spec = spec
        self.program = program
        self.workers = workers
        self.gpus = tuple(gpus)
        self.measured_on = measured_on or spec.anchor
        self.log = log

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises StorageError for what no worker can mend, TrainingError when workers do not start.
        """
        inbox: queue.Queue[tuple[_Worker, str | None]] = queue.Queue()
        workers = self.workers or self._measured_workers(observer)
        pool = [self._worker(inbox, number) for number in range(workers)]
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
        return self._worker(inbox, worker.number, starts=starts)

    def _worker(
        self, inbox: queue.Queue[tuple[_Worker, str | None]], number: int, *, starts: int = 1
    ) -> _Worker:
        gpu = self.gpus[number % len(self.gpus)] if self.gpus else None
        return _Worker(self.program, self.spec, inbox, self.log, number, gpu, starts=starts)

    def _measured_workers(self, observer: Observer) -> int:
        """Return how many workers use the GPUs best, by trainings of one network on the first."""
        observer.stage("measuring how many trainings at a time use a GPU best")
        threads, device = self.spec.proxy.threads, best_device()

        def memory() -> int | None:
            known = free_memory(device)
            return None if known is None else known[0]

        start = {"spec": self.spec.to_dict(), "architecture": self.measured_on}
        gauge = throughput_gauge(
            start, threads=threads, log=self.log, gpu=self.gpus[0], memory=memory
        )
        with gauge as measure:
            most = max(1, usable_cores() // threads // len(self.gpus))
            chosen = choose_number(measure, most)
        observer.stage(str(chosen))
        return chosen.number * len(self.gpus)


class _Worker:
    """A worker process, and the job that it has."""

    def __init__(
        self,
        program: Sequence[str],
        spec: EvaluatorSpec,
        inbox: queue.Queue[tuple[_Worker, str | None]],
        log: Path,
        number: int,
        gpu: str | None,
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
            environment={} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu},
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
