"""Full trainings side by side: a process for each, for as long as it takes.

Where a search has workers that take job after job, a full training is worth a process of its
own: it starts with clean memory and ends with it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from nas.errors import NasError, StorageError
from nas.proxies.full import FullJob
from nas.retrained import Retraining

__all__ = ["Told", "Watcher", "train_side_by_side"]

Told = dict[str, float]
"""{epoch, of, seconds}, and {loss, accuracy} after a look at the validation images."""

_DEATHS = 3  # of a training's process, before it counts as failed
_STOP_SECONDS = 20  # for the step that a process is at


class Watcher(Protocol):
    """Hears how trainings go: a progress display, a test."""

    def stage(self, text: str) -> None:
        """Something that concerns all of them."""

    def step(self, done: int, total: int) -> None:
        """How far what goes before the trainings is."""

    def began(self, job: FullJob) -> None:
        """A process trains it now."""

    def told(self, job: FullJob, told: Told) -> None:
        """How far it is; about once a second."""

    def ended(self, job: FullJob, found: Retraining) -> None:
        """It is done and kept, or has failed."""

    def lost(self, job: FullJob, reason: str) -> None:
        """Its process died; another goes on from its last checkpoint."""


def train_side_by_side(
    jobs: Sequence[FullJob],
    *,
    workers: int,
    gpus: Sequence[str],
    log: Path,
    keep: Callable[[FullJob, Retraining], None],
    watcher: Watcher,
) -> None:
    """Train all, `workers` at once, the first ones first. gpus: what CUDA calls those that they
    share. log: takes what processes print. keep: called with each result before it is told.

    Raises NasError when no training can be carried out; whatever passes through, the
    processes are stopped first, each after the step it is at.
    """
    inbox: queue.Queue[tuple[_Process, str | None]] = queue.Queue()
    waiting = deque((job, 0) for job in jobs)
    slots = list(range(workers))
    running: list[_Process] = []
    try:
        while waiting or running:
            while waiting and slots:
                job, deaths = waiting.popleft()
                slot = slots.pop(0)
                gpu = gpus[slot % len(gpus)] if gpus else None
                running.append(_Process(job, deaths, slot, gpu, inbox, log))
                watcher.began(job)
            process, line = inbox.get()
            if line is not None:
                process.hear(json.loads(line), watcher)
                continue
            running.remove(process)
            slots.append(process.slot)
            reason = process.ended()
            found = process.found
            if found is None and process.deaths + 1 < _DEATHS:
                watcher.lost(process.job, reason)
                waiting.appendleft((process.job, process.deaths + 1))
                continue
            failure = f"its process died {_DEATHS} times ({reason})"
            found = found or replace(process.job.about, failure=failure)
            keep(process.job, found)
            watcher.ended(process.job, found)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.ended()


class _Process:
    """One training's process."""

    def __init__(
        self,
        job: FullJob,
        deaths: int,
        slot: int,
        gpu: str | None,
        inbox: queue.Queue[tuple[_Process, str | None]],
        log: Path,
    ) -> None:
        self.job, self.deaths, self.slot = job, deaths, slot
        self.found: Retraining | None = None
        threads = str(job.about.threads)
        own = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if gpu is not None:
            own["CUDA_VISIBLE_DEVICES"] = gpu
        try:
            with log.open("ab") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "nas.executors.full_worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=os.environ | own,
                    process_group=0,  # a Ctrl-C at the terminal is the driver's to handle
                )
        except OSError as error:
            raise NasError(f"a training cannot be started: {error.strerror}") from None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job.to_dict()) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: its listener says so
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    def _listen(self, inbox: queue.Queue[tuple[_Process, str | None]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                inbox.put((self, line))
        inbox.put((self, None))

    def hear(self, message: dict[str, object], watcher: Watcher) -> None:
        """Raises StorageError for what would befall every training."""
        if "broken" in message:
            raise StorageError(f"a training cannot go on: {message['broken']}")
        if "found" in message:
            assert isinstance(message["found"], dict)
            self.found = Retraining.from_dict(message["found"])
        else:
            watcher.told(self.job, message)  # type: ignore[arg-type]

    def terminate(self) -> None:
        self._process.terminate()

    def ended(self) -> str:
        """Waits for its end, and says how it came."""
        try:
            code = self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                continue  # what was still to be written has nobody to read it
        if code < 0:
            name = signal.Signals(-code).name
            killed = "; the system may have run out of memory" if name == "SIGKILL" else ""
            return f"killed by {name}{killed}"
        return f"exit code {code}"
