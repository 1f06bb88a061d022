"""What full training is to do: networks, recipes and images, and how long it takes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nas.base.errors import NoTestPart, SpecError
from nas.base.machine import usable_cores
from nas.base.object_store import is_remote
from nas.base.size import Resolution
from nas.data import open_data, open_test
from nas.data.kinds import source_to_test
from nas.runs.check_network import check_training
from nas.runs.given_network import check_held
from nas.runs.images import decode_images
from nas.runs.own_backbones import check_own_backbones
from nas.runs.retrain.pool import Watcher
from nas.runs.run import RETRAINED_FOLDER, Run, RunState
from nas.runs.run_file import RunFile
from nas.spec.architecture import Architecture
from nas.spec.recipe import WEIGHTS, FullRecipe, Retrain
from nas.study.full_training import FullTraining
from nas.study.record import COMPLETE
from nas.training.checkpoint import checkpoint_path, weights_exist
from nas.training.device import best_device, visible_gpus
from nas.training.full import FullTrainingJob, begin, training_file
from nas.training.step_time import images_to_time, seconds_of_step

__all__ = [
    "RetrainPlan",
    "brings_test",
    "is_settled",
    "plan_retraining",
    "seconds_of_training",
    "threads_of_each",
    "worker_count",
]


_HALF_AN_HOUR = 1800.0
_LONG, _FEW = 100, 20_000  # epochs of a recipe for large sets; images of a small set


@dataclass(frozen=True, slots=True)
class RetrainPlan:
    """The trainings that `retrain` is to carry out.

    jobs: trainings that are still to be made, in their order.
    done: those that the study has, which are not made again.
    workers: trainings side by side.
    test_images: of the source's test part; None where it brings none.
    processes: that share each training.
    """

    run: Run
    jobs: tuple[FullTrainingJob, ...]
    done: tuple[FullTraining, ...]
    workers: int
    test_images: int | None
    processes: int = 1

    def seconds(self) -> float:
        """Estimate how long it takes here, from a few small steps of each network.

        What a checkpoint has done already is taken off.
        """
        times = {}
        for job in self.jobs:
            if job.about.digest not in times:
                times[job.about.digest] = seconds_of_training(job)
        total = sum(times[job.about.digest] * (1 - _done_share(self.run, job)) for job in self.jobs)
        return total / max(1, min(self.workers, len(self.jobs))) / self.processes

    def shorter(self, seconds: float) -> int | None:
        """Return how many epochs take half an hour, where a long recipe meets few images.

        seconds: what all of it takes. None: there is no reason to propose fewer.
        """
        if not self.jobs or seconds <= _HALF_AN_HOUR:
            return None
        first = self.jobs[0]
        if first.recipe.epochs < _LONG or len(open_data(first.data).train) > _FEW:
            return None
        return max(1, math.floor(first.recipe.epochs * _HALF_AN_HOUR / seconds))


def plan_retraining(
    run: Run,
    trials: Sequence[int] = (),
    *,
    front: bool = False,
    references: bool | None = None,
    section: Retrain | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> RetrainPlan:
    """Plan what would be trained, and decode the images for it.

    trials: networks by number.
    front: the members of the front.
    references: the hand-placed networks too; None: with the front.
    section: how they are trained; None: as the run's file has it, as are its weights.
    workers: trainings side by side; None: as many as cores and GPUs suggest.
    watcher: hears how far the decoding is; None: nobody does.

    Raises SpecError for networks, images or a test part that cannot be used.
    """
    check_held(run)
    notes = check_own_backbones(run)
    for note in notes:
        if watcher is not None:
            watcher.stage(note)
    section = section or run.file.retrain
    if section.weights is None:  # the file's may be those of before there were regimes
        section = section.model_copy(update={"weights": run.file.retrain.weights})
    state = run.read()
    rows = _chosen_rows(state, trials, front, front if references is None else references)
    check_training({_plain(row) for row in rows}, state.task, section.resolution)
    # Whose images have changed would be trained on others than it was searched on.
    state.images.open()
    tested = brings_test(run.file)
    networks, test_images = _prepare_networks(state, rows, section, tested, watcher)
    recorded = {training.name: training for training in state.retrained()}
    trainings = [
        replace(network, about=replace(network.about, seed=seed))
        for seed in range(section.seeds)  # a first look at all of them comes soonest
        for network in networks
    ]
    names = {training.about.name for training in trainings}
    processes = _processes(section, run)
    shared_by = int(os.environ.get("LOCAL_WORLD_SIZE", str(processes)))  # processes here
    alone = processes > 1 or run.in_process
    workers = 1 if alone else workers or worker_count(section, len(trainings))
    threads = threads_of_each(section, workers, shared_by)
    jobs = tuple(
        _job(state, training, threads, tested)
        for training in trainings
        if not is_settled(recorded.get(training.about.name))
    )
    done = tuple(
        training for name, training in recorded.items() if name in names and is_settled(training)
    )
    for job in jobs:
        _check_shared(job.recipe.batch_size, processes)
    return RetrainPlan(run, jobs, done, workers, test_images, processes)


def _processes(section: Retrain, run: Run) -> int:
    """Return how many processes share each training: those of torchrun, or as the section says.

    Raises SpecError where both say it, or there can be no other process.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and section.processes > 1:
        raise SpecError(
            f"retrain.processes {section.processes}, and torchrun has started {started}; leave one "
            "of them out"
        )
    if section.processes > 1 and run.in_process:
        raise SpecError(
            f"retrain.processes {section.processes}: a network that is given in memory is trained "
            "in this process alone; use 1"
        )
    return max(started, section.processes)


def _check_shared(batch: int, processes: int) -> None:
    """Raise SpecError where processes cannot have equal parts of a batch."""
    if batch % processes == 0:
        return
    upper = -(-batch // processes) * processes
    lower = max(processes, upper - processes)
    sizes = f"{lower} or {upper}" if lower < upper else f"{upper}"
    raise SpecError(
        f"a batch of {batch} images cannot be shared by {processes} processes; "
        f"--set retrain.batch_size={sizes}, or another number of processes"
    )


@dataclass(frozen=True, slots=True)
class _Network:
    """A network to train. data: the folder of its decoded images."""

    about: FullTraining
    architecture: str
    data: Path


def _prepare_networks(
    state: RunState,
    rows: Sequence[dict[str, Any]],
    section: Retrain,
    brings_test: bool,
    watcher: Watcher | None,
) -> tuple[list[_Network], int | None]:
    """Decode the images that each network is trained on.

    Returns the networks, and how many test images there are; None: they bring none.
    """
    run = state.run
    step, say = (watcher.step, _once(watcher.stage)) if watcher else (None, None)
    networks, test_images = [], None
    for row in rows:
        architecture = Architecture.from_json(row["architecture"])
        resolution = section.resolution or architecture.resolution
        data = decode_images(run.space, run.file, resolution, progress=step)
        recipe = section.resolved(
            len(open_data(data).train),
            run.file.regime,
            run.file.proxy.start,
            backbone=run.file.proxy.backbone,
            precision=run.file.proxy.computed_in,
        )
        recipe.check(state.task)
        if brings_test:
            test = open_test(
                run.file.data, resolution, reading=run.file.reading, progress=step, note=say
            )
            test_images = len(test)
        about = _about(state, row, recipe, resolution, data)
        networks.append(_Network(about, architecture.to_json(), data))
    return networks, test_images


def _plain(row: Mapping[str, Any]) -> Architecture:
    """Return the plain network of a row's architecture."""
    return Architecture.from_json(row["architecture"]).plain


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that says each sentence once."""
    texts: set[str] = set()

    def say_once(text: str) -> None:
        if text not in texts:
            texts.add(text)
            say(text)

    return say_once


def _job(state: RunState, network: _Network, threads: int, brings_test: bool) -> FullTrainingJob:
    run = state.run
    from_backbone = network.about.recipe["weights"] == "backbone"
    return FullTrainingJob(
        about=replace(network.about, threads=threads),
        architecture=network.architecture,
        source=run.file.data,
        reading=run.file.reading,
        data=network.data.resolve(),
        folder=(run.path / RETRAINED_FOLDER).resolve(),
        run_seed=run.file.search.seed,
        task=state.task,
        test=brings_test,
        backbone=_backbone(run, network.architecture) if from_backbone else None,
        launch=run.file.proxy.launch,
    )


def _chosen_rows(
    state: RunState, trials: Sequence[int], front: bool, references: bool
) -> list[dict[str, Any]]:
    """Return the rows of the networks, each network once. Raises SpecError."""
    run = state.run
    if not trials and not front:
        raise SpecError(f"say what to retrain: nas retrain {run.path} --front, or --trial N")
    rows = []
    for trial in trials:
        row = state.row(trial)
        if row["state"] != COMPLETE:
            cause = f": {row['failure']}" if row["failure"] else ""
            raise SpecError(
                f"trial {trial} is {row['state']}{cause}; only COMPLETE trials are retrained"
            )
        rows.append(row)
    points = state.front().points
    members = [point for point in points if point.on_front] if front else []
    placed = [point for point in points if point.reference] if references else []
    if front and not members:
        raise SpecError(f"the front of {run.path} is empty; see why: nas status {run.path}")
    rows += [state.row(point.trial) for point in (*placed, *members)]
    return list({row["digest"]: row for row in rows}.values())


def _about(
    state: RunState, row: dict[str, Any], recipe: FullRecipe, resolution: Resolution, data: Path
) -> FullTraining:
    return FullTraining(
        trial=row["trial"],
        digest=row["digest"],
        reference=row["reference"],
        seed=0,
        key=recipe.key(
            f"{data.name} {_backbone_key(state)}" if recipe.weights == "backbone" else data.name
        ),
        recipe=asdict(recipe),
        description=str(recipe),
        resolution=resolution,
    )


def is_settled(training: FullTraining | None) -> bool:
    """Return whether there is no sense in training it again."""
    return training is not None and (training.complete or training.diverged)


def _backbone_key(state: RunState) -> str:
    """Tell how the backbones of a run were trained: what starts from others is not its equal."""
    file = state.run.file
    parts = [file.proxy.backbone.key, file.proxy.batch_size, state.data()["key"]]
    return json.dumps([*parts, file.search.seed], sort_keys=True)


def _backbone(run: Run, architecture: str) -> Path:
    """Return the trained plain network that the search stood on.

    Raises SpecError where there is none.
    """
    plain = Architecture.from_json(architecture).plain
    path = checkpoint_path(run.checkpoints, plain.digest)
    if not weights_exist(path):
        other_weights = [name for name in WEIGHTS[run.file.regime] if name != "backbone"]
        raise SpecError(
            f"retrain.weights=backbone: {run.path} has no trained {plain.backbone} (searched by "
            f"{run.file.proxy.kind}); use {' or '.join(other_weights)}"
        )
    return path if is_remote(path) else path.resolve()


def brings_test(file: RunFile) -> bool:
    """Return whether a run's data has a test part. Raises SpecError for what cannot be used."""
    try:
        source_to_test(file.data, file.reading)
    except NoTestPart:
        return False
    return True


def worker_count(section: Retrain, trainings: int, *, alone: bool = False) -> int:
    """Return how many of so many trainings go side by side on this machine.

    alone: whether they go one after another, as in a process that no other can stand in for.
    """
    if alone or section.processes > 1:  # each of which is shared by processes
        return 1
    gpus = len(visible_gpus())
    side_by_side = gpus or max(1, usable_cores() // (section.threads or 1))
    return max(1, min(side_by_side, trainings))


def threads_of_each(section: Retrain, workers: int, processes: int = 1) -> int:
    """Return the threads of a process that trains.

    workers, processes: trainings side by side, and processes that share each, on this machine.
    """
    return section.threads or max(1, usable_cores() // (workers * processes))


def seconds_of_training(job: FullTrainingJob) -> float:
    """Estimate all of a training by one process from steps of few images.

    Time is about in proportion to them.
    """
    recipe, data = job.recipe, open_data(job.data)
    size = images_to_time(recipe.batch_size, data.size)
    small = replace(recipe, batch_size=size, weights="random", epochs=1e9)
    architecture = Architecture.from_json(job.architecture)
    training = begin(architecture, data, small, job.task, seed=0, device=best_device())
    taken = seconds_of_step(training, threads=job.about.threads)
    per_epoch = max(1, len(data.train) // recipe.batch_size)
    return taken * recipe.batch_size / size * recipe.epochs * per_epoch


def _done_share(run: Run, job: FullTrainingJob) -> float:
    """Return the share of a training that its checkpoint has done."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.path / RETRAINED_FOLDER / training_file(job.about), "pt") as file:
            step = float(file.get_tensor("stands")[0])
    except (OSError, SafetensorError):
        return 0.0
    per_epoch = max(1, len(open_data(job.data).train) // job.recipe.batch_size)
    return min(1.0, step / max(1.0, job.recipe.epochs * per_epoch))
