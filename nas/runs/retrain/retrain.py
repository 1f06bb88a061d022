"""Training winners and hand-placed networks fully, and testing them once."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from nas.base.errors import NoTestPart, SpecError, StorageError, TrainingError
from nas.base.machine import usable_cores
from nas.base.object_store import is_remote
from nas.data import cached_data, open_data, open_test
from nas.data.kinds import source_to_test
from nas.runs.retrain.pool import ProgressReport, Watcher, train_side_by_side
from nas.runs.run import RETRAINED_FOLDER, Run, run_lock
from nas.runs.start import write_results
from nas.spec.architecture import Architecture
from nas.spec.recipe import FullRecipe, Retrain
from nas.strategy.storage.store import Store
from nas.study.full_training import FullTraining
from nas.study.record import COMPLETE
from nas.training.checkpoint import checkpoint_path, weights_exist
from nas.training.device import best_device
from nas.training.full import FullTrainingJob, TrainingStopped, begin, train_fully, training_file

__all__ = ["RetrainPlan", "is_first_process", "plan", "retrain"]

_TIMED_IMAGES, _TIMED_STEPS = 32, 2


@dataclass(frozen=True)
class RetrainPlan:
    """What `retrain` is to do. jobs: trainings that are still to be made, in their order; done:
    those that the study has, which are not made again. workers: trainings side by side.
    test_images: of the source's test part, None where it brings none.
    """

    run: Run
    jobs: tuple[FullTrainingJob, ...]
    done: tuple[FullTraining, ...]
    workers: int
    test_images: int | None

    def seconds(self) -> float:
        """About how long it takes here, from a few small steps of each network.

        What a checkpoint has done already is taken off.
        """
        times = {}
        for job in self.jobs:
            if job.about.digest not in times:
                times[job.about.digest] = _step_seconds(job)
        total = sum(times[job.about.digest] * (1 - _done_share(self.run, job)) for job in self.jobs)
        return total / max(1, min(self.workers, len(self.jobs)))


def plan(
    run: Run,
    trials: Sequence[int] = (),
    *,
    front: bool = False,
    references: bool | None = None,
    section: Retrain | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> RetrainPlan:
    """What would be trained, the images decoded. Raises SpecError.

    trials: networks by number. front: the members of the front. references: the hand-placed
    networks too; None: with the front. section: how; None: as the run's file has it.
    workers: trainings side by side; None: as many as cores and GPUs suggest.
    """
    section = section or run.file.retrain
    chosen = _chosen(run, trials, front, front if references is None else references)
    run.dataset()  # whose images have changed would be trained on others than it was searched on
    brings_test = _brings_test(run.file.data)
    test_images = None
    made: list[tuple[FullTraining, str, Path]] = []
    for row in chosen:
        architecture = Architecture.from_json(row["architecture"])
        resolution = section.resolution or architecture.resolution
        data = _decoded(run, resolution, watcher)
        recipe = section.resolved(len(open_data(data).train))
        if brings_test:
            step = watcher.step if watcher else None
            test_images = len(open_test(run.file.data, resolution, progress=step))
        made.append((_about(run, row, recipe, resolution, data), architecture.to_json(), data))
    known = {item.name: item for item in run.retrained()}
    every = [
        (replace(about, seed=seed), text, data)
        for seed in range(section.seeds)  # a first look at all of them comes soonest
        for about, text, data in made
    ]
    names = {about.name for about, _, _ in every}
    shared_by = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of torchrun, here
    workers = 1 if shared_by > 1 else workers or _worker_count(section, len(every))
    threads = section.threads or max(1, usable_cores() // (workers * shared_by))
    jobs = tuple(
        FullTrainingJob(
            about=replace(about, threads=threads),
            architecture=text,
            source=run.file.data,
            data=data.resolve(),
            folder=(run.path / RETRAINED_FOLDER).resolve(),
            run_seed=run.file.search.seed,
            test=brings_test,
            backbone=_backbone(run, text) if about.recipe["weights"] == "backbone" else None,
        )
        for about, text, data in every
        if not _settled(known.get(about.name))
    )
    done = tuple(item for name, item in known.items() if name in names and _settled(item))
    return RetrainPlan(run, jobs, done, workers, test_images)


def retrain(planned: RetrainPlan, watcher: Watcher) -> list[FullTraining]:
    """Carry out a plan and return what the study has of it then.

    Every result is in the study before it is told; a stopped or killed one goes on with the same
    plan. Under torchrun each training is shared by all processes, one after another. Raises
    SpecError, StorageError; KeyboardInterrupt passes through after checkpoints are kept.
    """
    run = planned.run
    with _together(), _alone(run), _reported(run, watcher) as keep:
        if dist.is_initialized():
            _train_together(planned, keep, watcher)
        elif planned.jobs:
            train_side_by_side(
                planned.jobs,
                workers=max(1, min(planned.workers, len(planned.jobs))),
                gpus=_gpus(),
                log=run.path / RETRAINED_FOLDER / "events.log",
                keep=keep,
                watcher=watcher,
            )
    wanted = {job.about.name for job in planned.jobs} | {item.name for item in planned.done}
    return [item for item in run.retrained() if item.name in wanted]


def is_first_process() -> bool:
    """Whether this is the one of torchrun's processes that speaks; alone it is."""
    return int(os.environ.get("RANK", "0")) == 0


def _chosen(run: Run, trials: Sequence[int], front: bool, references: bool) -> list[dict[str, Any]]:
    """Rows of the networks, each network once."""
    if not trials and not front:
        raise SpecError(f"say what to retrain: nas retrain {run.path} --front, or --trial N")
    rows = []
    for trial in trials:
        row = run.row(trial)
        if row["state"] != COMPLETE:
            cause = f": {row['failure']}" if row["failure"] else ""
            raise SpecError(
                f"trial {trial} is {row['state']}{cause}; only COMPLETE trials are retrained"
            )
        rows.append(row)
    points = run.front().points
    members = [point for point in points if point.on_front] if front else []
    placed = [point for point in points if point.reference] if references else []
    if front and not members:
        raise SpecError(f"the front of {run.path} is empty; see why: nas status {run.path}")
    rows += [run.row(point.trial) for point in (*placed, *members)]
    return list({row["digest"]: row for row in rows}.values())


def _about(
    run: Run, row: dict[str, Any], recipe: FullRecipe, resolution: int, data: Path
) -> FullTraining:
    return FullTraining(
        trial=row["trial"],
        digest=row["digest"],
        reference=row["reference"],
        seed=0,
        key=recipe.key(
            f"{data.name} {_begun_from(run)}" if recipe.weights == "backbone" else data.name
        ),
        recipe=asdict(recipe),
        description=str(recipe),
        resolution=resolution,
    )


def _settled(item: FullTraining | None) -> bool:
    """Whether there is no sense in training it again."""
    return item is not None and (item.complete or item.diverged)


def _decoded(run: Run, resolution: int, watcher: Watcher | None) -> Path:
    return cached_data(
        run.file.data,
        resolution,
        validation=run.file.validation,
        seed=run.file.search.seed,
        progress=watcher.step if watcher else None,
    )


def _begun_from(run: Run) -> str:
    """How the backbones of a run were trained: what starts from others was not trained equally."""
    proxy = run.file.proxy
    parts = [proxy.backbone.model_dump(), proxy.batch_size, run.environment["data"]["key"]]
    return json.dumps([*parts, run.file.search.seed], sort_keys=True)


def _backbone(run: Run, architecture: str) -> Path:
    """The trained plain network that the search stood on. Raises SpecError where there is none."""
    plain = Architecture.from_json(architecture).plain
    path = checkpoint_path(run.checkpoints, plain.digest)
    if not weights_exist(path):
        raise SpecError(
            f"retrain.weights=backbone: {run.path} has no trained {plain.backbone} (searched by "
            f"{run.file.proxy.kind}); use random or pretrained"
        )
    return path if is_remote(path) else path.resolve()


def _brings_test(source: str) -> bool:
    """Raises SpecError for a test part that cannot be used."""
    try:
        source_to_test(source)
    except NoTestPart:
        return False
    return True


def _worker_count(section: Retrain, trainings: int) -> int:
    gpus = len(_gpus())
    side_by_side = gpus or max(1, usable_cores() // (section.threads or 1))
    return max(1, min(side_by_side, trainings))


def _gpus() -> list[str]:
    """What CUDA calls the ones that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def _step_seconds(job: FullTrainingJob) -> float:
    """All of a training, from steps of few images: time is about in proportion to them."""
    recipe, data = job.recipe, open_data(job.data)
    size = min(recipe.batch_size, _TIMED_IMAGES)
    before = torch.get_num_threads()
    torch.set_num_threads(job.about.threads)
    try:
        small = replace(recipe, batch_size=size, weights="random", epochs=1e9)
        architecture = Architecture.from_json(job.architecture)
        training = begin(architecture, data, small, seed=0, device=best_device())
        training.run(1)
        started = time.perf_counter()
        training.run(1 + _TIMED_STEPS)
        taken = (time.perf_counter() - started) / _TIMED_STEPS
    finally:
        torch.set_num_threads(before)
    per_epoch = max(1, len(data.train) // recipe.batch_size)
    return taken * recipe.batch_size / size * recipe.epochs * per_epoch


def _done_share(run: Run, job: FullTrainingJob) -> float:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.path / RETRAINED_FOLDER / training_file(job.about), "pt") as file:
            step = float(file.get_tensor("stands")[0])
    except (OSError, SafetensorError):
        return 0.0
    per_epoch = max(1, len(open_data(job.data).train) // job.recipe.batch_size)
    return min(1.0, step / max(1.0, job.recipe.epochs * per_epoch))


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Join the processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    # Of dimensions of size 1, whose strides mean nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        dist.barrier()  # all have read the study before one writes to it
        yield
        dist.barrier()  # and read it again when all is written
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[None]:
    if not is_first_process():
        yield
        return
    with run_lock(run.path):
        yield


class _Keeper:
    """Writes results into the study; the checkpoint goes when the result is there."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._store = Store(run.study, writable=True)

    def __call__(self, job: FullTrainingJob, found: FullTraining) -> None:
        found = replace(found, finished=datetime.now(UTC).isoformat(timespec="seconds"))
        if not all(math.isfinite(value) for value in (found.loss or 0.0, found.test_loss or 0.0)):
            found = replace(job.about, failure="its loss is not finite", diverged=True)
        self._store.note_full_training(found)
        if _settled(found):
            (job.folder / training_file(found)).unlink(missing_ok=True)


@contextlib.contextmanager
def _reported(run: Run, watcher: Watcher) -> Iterator[Any]:
    """What keeps results; at the end, however it comes, the run's files show them."""
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
    """One after another, each shared by all processes.

    What fails in one process alone ends them all: the others wait for it.
    """
    processes, first = dist.get_world_size(), is_first_process()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())  # heard by the first process, after its step
    for job in planned.jobs:
        if job.recipe.batch_size % processes:
            raise SpecError(
                f"a batch of {job.recipe.batch_size} images cannot be shared by {processes} "
                "processes; --set retrain.batch_size=... to a multiple"
            )
        if first:
            watcher.began(job)
        say = functools.partial(watcher.told, job) if first else _nothing
        try:
            found = train_fully(job, device=best_device(), say=say, stopping=stop.is_set)
        except TrainingError as error:
            found = replace(job.about, failure=str(error), diverged=True)
        except TrainingStopped:
            raise KeyboardInterrupt from None
        if first:
            keep(job, found)
            watcher.ended(job, found)


def _nothing(_told: ProgressReport) -> None:
    return None
