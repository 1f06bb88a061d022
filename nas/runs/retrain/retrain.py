"""Training winners and hand-placed networks fully, and testing them once."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist

from nas.base.clock import utc_now
from nas.base.errors import SpecError, StorageError, TrainingError
from nas.base.freed_memory import return_freed_memory
from nas.base.machine import usable_cores
from nas.runs.drive import write_results
from nas.runs.lock import run_lock
from nas.runs.retrain.plan import RetrainPlan, is_settled
from nas.runs.retrain.pool import ProgressReport, Watcher, train_side_by_side
from nas.runs.retrain.worker import carry_out
from nas.runs.run import RETRAINED_FOLDER, Run
from nas.strategy.storage.store import Store
from nas.study.full_training import FullTraining
from nas.training.device import best_device, visible_gpus
from nas.training.full import FullTrainingJob, TrainingStopped, train_fully, training_file

__all__ = ["is_alone", "is_first_process", "retrain"]

_PATIENCE = timedelta(hours=1)  # of processes while the first one looks at validation images


def retrain(planned: RetrainPlan, watcher: Watcher) -> list[FullTraining]:
    """Carry out a plan and return what the study has of it then.

    Every result is in the study before it is told; a stopped or killed one goes on with the same
    plan. Under torchrun, and by Ray Train where the plan says how many, each training is shared by
    all processes, one after another.
    watcher: hears how they go.
    Raises SpecError, StorageError. KeyboardInterrupt passes through after checkpoints are kept.
    """
    run = planned.run
    with _process_group(), _locked_by_first(run), _result_keeper(run, watcher) as keep:
        if dist.is_initialized():
            _train_together(planned, keep, watcher)
        elif run.in_process:
            _train_here(planned, keep, watcher)
        elif planned.processes > 1 and planned.jobs:
            _train_on_ray(planned, keep, watcher)
        elif planned.jobs:
            train_side_by_side(
                planned.jobs,
                workers=max(1, min(planned.workers, len(planned.jobs))),
                gpus=visible_gpus(),
                log=run.path / RETRAINED_FOLDER / "events.log",
                keep=keep,
                watcher=watcher,
            )
    wanted = {job.about.name for job in planned.jobs}
    wanted |= {training.name for training in planned.done}
    return [training for training in run.retrained() if training.name in wanted]


def is_first_process() -> bool:
    """Return whether this is the one of torchrun's processes that speaks; alone it is."""
    return int(os.environ.get("RANK", "0")) == 0


def is_alone() -> bool:
    """Return whether torchrun has started no other process beside this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


@contextlib.contextmanager
def _process_group() -> Iterator[None]:
    """Join the processes that torchrun has started, if it has."""
    if is_alone():
        yield
        return
    # Of dimensions of size 1, whose strides mean nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    device, here = best_device(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cuda":
        gpus = torch.cuda.device_count()
        if here > gpus:
            raise SpecError(
                f"torchrun has started {here} processes on this machine, which has {gpus} GPUs; "
                f"each takes one: --nproc-per-node {gpus}"
            )
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        dist.barrier()  # all have read the study before one writes to it
        yield
        dist.barrier()  # and read it again when all is written
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _locked_by_first(run: Run) -> Iterator[None]:
    """Hold the run's lock in the first process, for all of them."""
    if not is_first_process():
        yield
        return
    with run_lock(run.path):
        yield


class _Keeper:
    """The writer of results into the study; a checkpoint goes when its result is there."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._store = Store(run.study, writable=True)

    def __call__(self, job: FullTrainingJob, result: FullTraining) -> None:
        result = replace(result, finished=utc_now())
        losses = (result.loss or 0.0, result.test_loss or 0.0)
        if not all(math.isfinite(loss) for loss in losses):
            result = replace(job.about, failure="its loss is not finite", diverged=True)
        self._store.note_full_training(result)
        if is_settled(result):
            (job.folder / training_file(result)).unlink(missing_ok=True)


@contextlib.contextmanager
def _result_keeper(run: Run, watcher: Watcher) -> Iterator[Any]:
    """Yield what keeps results; at the end, however it comes, the run's files show them."""
    if not is_first_process():
        yield None
        return
    try:
        (run.path / RETRAINED_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{run.path / RETRAINED_FOLDER} cannot be made ({error.strerror})"
        ) from None
    try:
        yield _Keeper(run)
    except BaseException:
        with contextlib.suppress(StorageError):
            write_results(run)
        raise
    watcher.stage("writing results")
    write_results(run)


def _train_together(planned: RetrainPlan, keep: Any, watcher: Watcher) -> None:
    """Carry out trainings one after another, each shared by all processes.

    What fails in one process alone ends them all: the others wait for it.
    """
    first = is_first_process()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())  # heard by the first process, after its step
    if first:
        _say_shares(planned, watcher)
    for job in planned.jobs:
        if first:
            watcher.began(job)
        say = functools.partial(watcher.progressed, job) if first else _nothing
        try:
            result = train_fully(job, device=best_device(), say=say, stopping=stop.is_set)
        except TrainingError as error:
            result = replace(job.about, failure=str(error), diverged=True)
        except TrainingStopped:
            raise KeyboardInterrupt from None
        if first:
            keep(job, result)
            watcher.ended(job, result)


def _train_on_ray(planned: RetrainPlan, keep: Any, watcher: Watcher) -> None:
    """Carry out trainings one after another, each shared by processes of a Ray cluster."""
    from nas.execution.ray.cluster import connect
    from nas.execution.ray.train import train_in_processes

    plan, processes = planned.run.file.ray, planned.processes
    with connect(plan, cores=usable_cores(), processes=processes, say=watcher.stage):
        _say_shares(planned, watcher)
        for job in planned.jobs:
            watcher.began(job)
            hear = functools.partial(watcher.progressed, job)
            result = train_in_processes(job, plan=plan, processes=processes, hear=hear)
            keep(job, result)
            watcher.ended(job, result)


def _say_shares(planned: RetrainPlan, watcher: Watcher) -> None:
    """Say what each of several processes has of a batch."""
    for batch in sorted({job.recipe.batch_size for job in planned.jobs}):
        watcher.stage(
            f"{planned.processes} processes share each batch of {batch} images, "
            f"{batch // planned.processes} each; batch norms see these alone"
        )


def _train_here(planned: RetrainPlan, keep: Any, watcher: Watcher) -> None:
    """Carry out trainings one after another in this process, which alone can make the network."""
    before = torch.get_num_threads()
    try:
        for job in planned.jobs:
            watcher.began(job)
            torch.set_num_threads(job.about.threads)
            result = carry_out(job, say=functools.partial(watcher.progressed, job))
            keep(job, result)
            watcher.ended(job, result)
    finally:
        torch.set_num_threads(before)
        return_freed_memory()


def _nothing(_report: ProgressReport) -> None:
    return None
