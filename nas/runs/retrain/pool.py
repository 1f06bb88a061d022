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
"""The progress of a training: epoch, of, seconds; after a look at the validation images also loss
and accuracy.
"""

PROGRAM = (sys.executable, "-m", "nas.runs.retrain.worker")

_DEATHS = 3  # of a training's process, before it counts as failed
_STOP_SECONDS = 20  # for the step that a process is at


class Watcher(Protocol):
    """Whoever hears how trainings go: a progress display, a test."""

    def stage(self, text: str) -> None:
        """Hear something that concerns all of them."""

    def step(self, done: int, total: int) -> None:
        """Hear how far what goes before the trainings is."""

    def began(self, job: FullTrainingJob) -> None:
        """Hear that a process trains it now."""

    def progressed(self, job: FullTrainingJob, report: ProgressReport) -> None:
        """Hear how far it is; about once a second."""

    def ended(self, job: FullTrainingJob, result: FullTraining) -> None:
        """Hear that it is done and kept, or has failed."""

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        """Hear that its process died; another goes on from its last checkpoint."""


def train_side_by_side(
    jobs: Sequence[FullTrainingJob],
    *,
    workers: int,
    gpus: Sequence[str],
    log: Path,
    keep: Callable[[FullTrainingJob, FullTraining], None],
    watcher: Watcher,
) -> None:
    """Carry out trainings, some at once, the first ones first.

    workers: how many at once.
    gpus: what CUDA calls those that they share.
    log: file that takes what processes print.
    keep: called with each result before the watcher hears of it.
    watcher: hears how they go.

    Raises NasError when no training can be carried out. Whatever passes through, the processes
    are stopped first, each after the step it is at.
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
            reason = process.wait()
            result = process.result
            if result is None and process.deaths + 1 < _DEATHS:
                watcher.lost(process.job, reason)
                waiting.appendleft((process.job, process.deaths + 1))
                continue
            failure = f"its process died {_DEATHS} times ({reason})"
            result = result or replace(process.job.about, failure=failure)
            keep(process.job, result)
            watcher.ended(process.job, result)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


class _Process:
    """The process of one training.

    deaths: processes of this training that died before.
    slot: its number among those that run side by side.
    gpu: what CUDA calls the one that it takes; None: no GPU.
    inbox: takes its lines, and None at its end.
    """

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
        self.result: FullTraining | None = None
        self._process = ChildProcess(
            PROGRAM,
            threads=job.about.threads,
            log=log,
            heard=lambda line: inbox.put((self, line)),
            environment={} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu},
        )
        self._process.write(job.to_dict())

    def hear(self, message: dict[str, object], watcher: Watcher) -> None:
        """Take a message of its. Raises StorageError for what would befall every training."""
        if "broken" in message:
            raise StorageError(f"a training cannot go on: {message['broken']}")
        if "found" in message:
            assert isinstance(message["found"], dict)
            self.result = FullTraining.from_dict(message["found"])
        else:
            watcher.progressed(self.job, message)  # type: ignore[arg-type]

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> str:
        """Wait for its end, and say how it came."""
        return self._process.wait(_STOP_SECONDS)
