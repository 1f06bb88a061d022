"""Full trainings side by side: a process for each, for as long as it takes.

Where a search has workers that take job after job, a full training is worth a process of its
own: it starts with clean memory and ends with it.
"""

from __future__ import annotations

import json
import queue
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from nas.base.errors import StorageError
from nas.execution.workers.child_process import ChildProcess
from nas.study.full_training import FullTraining
from nas.training.full import FullTrainingJob

__all__ = ["ProgressReport", "Watcher", "train_side_by_side"]

ProgressReport = dict[str, float]
"""{epoch, of, seconds}, and {loss, accuracy} after a look at the validation images."""

PROGRAM = (sys.executable, "-m", "nas.runs.retrain.worker")

_DEATHS = 3  # of a training's process, before it counts as failed
_STOP_SECONDS = 20  # for the step that a process is at


class Watcher(Protocol):
    """Hears how trainings go: a progress display, a test."""

    def stage(self, text: str) -> None:
        """Something that concerns all of them."""

    def step(self, done: int, total: int) -> None:
        """How far what goes before the trainings is."""

    def began(self, job: FullTrainingJob) -> None:
        """A process trains it now."""

    def told(self, job: FullTrainingJob, told: ProgressReport) -> None:
        """How far it is; about once a second."""

    def ended(self, job: FullTrainingJob, found: FullTraining) -> None:
        """It is done and kept, or has failed."""

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        """Its process died; another goes on from its last checkpoint."""


def train_side_by_side(
    jobs: Sequence[FullTrainingJob],
    *,
    workers: int,
    gpus: Sequence[str],
    log: Path,
    keep: Callable[[FullTrainingJob, FullTraining], None],
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
        job: FullTrainingJob,
        deaths: int,
        slot: int,
        gpu: str | None,
        inbox: queue.Queue[tuple[_Process, str | None]],
        log: Path,
    ) -> None:
        self.job, self.deaths, self.slot = job, deaths, slot
        self.found: FullTraining | None = None
        self._process = ChildProcess(
            PROGRAM,
            threads=job.about.threads,
            log=log,
            heard=lambda line: inbox.put((self, line)),
            environment={} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu},
        )
        self._process.write(job.to_dict())

    def hear(self, message: dict[str, object], watcher: Watcher) -> None:
        """Raises StorageError for what would befall every training."""
        if "broken" in message:
            raise StorageError(f"a training cannot go on: {message['broken']}")
        if "found" in message:
            assert isinstance(message["found"], dict)
            self.found = FullTraining.from_dict(message["found"])
        else:
            watcher.told(self.job, message)  # type: ignore[arg-type]

    def terminate(self) -> None:
        self._process.terminate()

    def ended(self) -> str:
        """Waits for its end, and says how it came."""
        return self._process.ended(_STOP_SECONDS)
