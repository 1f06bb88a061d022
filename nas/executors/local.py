"""Jobs on this machine: one process for each worker, JSON lines between them.

Workers are started as programs of their own rather than through `multiprocessing`, which
would run the user's script again in each of them.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nas.errors import NasError, StorageError, TrainingError
from nas.evaluator import EvaluatorSpec
from nas.executors import Observer, died
from nas.record import Job, Outcome
from nas.search_core import Search

__all__ = ["PROGRAM", "LocalExecutor"]

PROGRAM = (sys.executable, "-m", "nas.executors.local_worker")

_TICK_SECONDS = 0.5
_STARTS = 3  # of a worker that dies before it is ready


class LocalExecutor:
    """log: file that takes what the workers print. program: what a worker runs, which must speak
    as `nas.executors.local_worker` does.
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
                    self._heard(worker, json.loads(line), search, observer)
                else:
                    pool[pool.index(worker)] = self._replaced(worker, search, observer, inbox)
        finally:
            for worker in pool:
                worker.stop()

    def _heard(
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

    def _replaced(
        self,
        worker: _Worker,
        search: Search,
        observer: Observer,
        inbox: queue.Queue[tuple[_Worker, str | None]],
    ) -> _Worker:
        """Start a worker in the place of one that died, and say what became of its job."""
        reason = worker.cause_of_death()
        worker.stop()
        if worker.job is not None:
            record = search.tell(worker.job, died(worker.job, reason))
            if record is None:
                observer.lost(worker.job, reason)
            else:
                observer.finished(record)
        starts = 1 if worker.ready else worker.starts + 1
        if starts > _STARTS:
            raise TrainingError(f"workers die before they are ready ({reason}); see {self.log}")
        return _Worker(self.program, self.spec, inbox, self.log, worker.number, starts=starts)


class _Worker:
    """One worker process, and the job that it has."""

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
        threads = str(spec.proxy.threads)
        try:
            with log.open("ab") as errors:
                self._process = subprocess.Popen(
                    program,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
                    process_group=0,  # a Ctrl-C at the terminal is the driver's to handle
                )
        except OSError as error:
            raise NasError(f"a worker cannot be started: {error.strerror}") from None
        self._write({"spec": spec.to_dict(), "worker": number})
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None

    def send(self, job: Job) -> None:
        self.job = job
        self._write(asdict(job))

    def _write(self, message: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has died: its listener says so

    def _listen(self, inbox: queue.Queue[tuple[_Worker, str | None]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                inbox.put((self, line))
        inbox.put((self, None))

    def cause_of_death(self) -> str:
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            killed = "; the system may have run out of memory" if name == "SIGKILL" else ""
            return f"killed by {name}{killed}"
        return f"exit code {code}"

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                continue  # what was still to be written has nobody to read it
