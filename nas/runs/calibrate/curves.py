"""Curves of gain over budget: which length of training can be believed in one's own setting.

Hand-placed networks and halves are trained from scratch at budgets b, 2b, 4b, each to its own end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nas.base.errors import SpecError
from nas.data import (
    cached_data,
    check_source,
    data_names,
    open_data,
    resolve_source,
)
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.observer import Observer, SilentObserver
from nas.execution.workers.throughput import measure_side_by_side
from nas.models.candidates import Candidates, given_space
from nas.runs.calibrate.curve_plan import CurvePlan, curve_recipe
from nas.runs.calibrate.curve_plot import draw_curves
from nas.runs.calibrate.growth import measure_growth
from nas.runs.calibrate.network_sample import refuse_taken
from nas.runs.check_network import CLASSES, check_networks
from nas.runs.images import train_resolution
from nas.runs.lock import run_lock
from nas.runs.prepare import worker_count
from nas.runs.reading import reading_of, settle_task
from nas.runs.retrain.plan import is_settled
from nas.runs.retrain.pool import ProgressReport, train_side_by_side
from nas.runs.retrain.worker import carry_out
from nas.spec.precision import FP32
from nas.spec.recipe import FullRecipe
from nas.spec.runner import Runner, given_runner
from nas.spec.space import Constraints, SearchSpace
from nas.spec.task import Task
from nas.study.budget_curves import CURVES_FILE, CurvesFound
from nas.study.curve_rows import CURVES, CurveRows, images_of_rows
from nas.study.full_training import FullTraining
from nas.training.device import best_device, visible_gpus
from nas.training.full import FullTrainingJob, training_file, weights_file
from nas.training.precision import settle_precision

__all__ = ["calibrate_curves"]


def calibrate_curves(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None = None,
    data: str = "digits",
    out: str | Path = "runs/calibration",
    *,
    budget: float = 3.0,
    doublings: int = 2,
    seeds: int = 2,
    observer: Observer | None = None,
) -> CurvesFound:
    """Train hand-placed networks and halves from scratch at doubled budgets, and judge the curves.

    Each training is kept as it ends; interrupted, the same call goes on, and so does one with more
    doublings or seeds. Writes curves.json, curves.png and curves.svg.

    space, runner, data: as `nas.search` takes them; of the proxy, the batch, the rate, the
        resolution and the threads count.
    out: the folder of the calibration.
    budget: the shortest, in epochs.
    doublings: how often it is doubled.
    seeds: how often each network is trained at each budget; the plain one oftener.
    observer: hears what happens; None: nobody does.

    Raises SpecError, also when `out` holds the curves of anything else.
    """
    out, observer = Path(out), observer or SilentObserver()
    space, runner = given_space(space), settle_task(given_runner(runner), data)
    proxy = settle_precision(runner.proxy, best_device())
    runner = runner.model_copy(update={"proxy": proxy})
    task = runner.task_on(CLASSES)
    plan = CurvePlan.of(space, budget, doublings, seeds, task)
    if runner.proxy.subset is not None:
        raise SpecError(
            f"proxy.subset={runner.proxy.subset}: curves are of all training images; leave it out"
        )
    check_source(data)
    refuse_taken(out)
    for note in check_networks(Candidates(space, task), runner.proxy, None, task):
        observer.stage(note)
    observer.stage("decoding images")
    images = _decode(space, runner, data, out / CURVES, observer)
    count = len(open_data(images).train)
    rows = CurveRows(
        out / CURVES,
        {
            "space": space.model_dump(mode="json"),
            "data": [resolve_source(data), images.name],
            "recipe": _kept(curve_recipe(runner.proxy, 1.0, count)),
            # Curves of before, and of the usual head, say nothing of it.
            **({"head": task.head} if task.unusual_head else {}),
        },
    )
    with run_lock(rows.folder):
        _train(plan, runner, data, images, rows, observer)
    growth = measure_growth(plan, runner, space, data, images, rows)
    growth.write(out / CURVES_FILE)
    for suffix in ("png", "svg"):
        draw_curves(growth, out / f"curves.{suffix}")
    return growth


def _kept(recipe: FullRecipe) -> dict[str, Any]:
    """Return what the rows' folder says of a recipe: curves of before had no other precision."""
    values = asdict(recipe)
    if recipe.precision == FP32:
        del values["precision"]
    return values


def _decode(space: SearchSpace, runner: Runner, data: str, rows: Path, observer: Observer) -> Path:
    """Decode the images, by the rules of before where rows are of them."""
    size = train_resolution(space, runner)
    held, seed = runner.validation, runner.search.seed
    reading = reading_of(runner)
    names = data_names(data, size, validation=held, seed=seed, reading=reading)
    known = images_of_rows(rows)
    rules = next((rules for rules, name in names.items() if name == known), reading.rules)
    return cached_data(
        data,
        size,
        validation=held,
        seed=seed,
        reading=replace(reading, rules=rules),
        progress=observer.step,
        note=observer.stage,
    )


def _train(
    plan: CurvePlan, runner: Runner, data: str, images: Path, rows: CurveRows, observer: Observer
) -> None:
    """Carry out the trainings that have not ended yet."""
    there = rows.read()
    count = len(open_data(images).train)
    task = runner.task_on(len(open_data(images).classes))
    jobs = plan.jobs(runner, resolve_source(data), images, rows.folder, count, task)
    missing = [job for _, job in jobs if not is_settled(there.get(job.about.name))]
    observer.stage(
        f"training {len(plan.networks)} networks from scratch for "
        f"{', '.join(f'{epochs:g}' for epochs in plan.budgets)} epochs: {len(plan)} trainings, "
        f"{plan.epochs:g} epochs in all, {len(jobs) - len(missing)} trainings are there"
    )
    watcher = _Watcher(observer, len(jobs) - len(missing), len(jobs))

    def keep(job: FullTrainingJob, training: FullTraining) -> None:
        if training.complete or training.diverged:
            rows.keep(replace(training, weights=None))
        for name in (training_file(job.about), weights_file(job.about)):
            (job.folder / name).unlink(missing_ok=True)

    gpus = visible_gpus()
    workers = worker_count(runner)
    if gpus and runner.workers == "auto" and len(missing) > len(gpus):
        workers = _measured_workers(plan, runner, gpus, images, rows.folder, task, observer)
    workers = min(workers, len(missing))
    if workers > 1:
        train_side_by_side(
            missing,
            workers=workers,
            gpus=gpus,
            log=rows.folder / "events.log",
            keep=keep,
            watcher=watcher,
        )
        return
    for job in missing:
        training = carry_out(job)
        keep(job, training)
        watcher.ended(job, training)


def _measured_workers(
    plan: CurvePlan,
    runner: Runner,
    gpus: Sequence[str],
    images: Path,
    folder: Path,
    task: Task,
    observer: Observer,
) -> int:
    """Return how many trainings at a time use the GPUs best, as a search measures it.

    Each has a process of its own.
    """
    *_, placed = plan.networks.values()
    proxy = runner.proxy.model_copy(
        update={
            "kind": "scratch",
            "rungs": [1.0],
            "unit": "epochs",
            "schedule": "whole",
            "warm_up": None,
            "cooldown": None,
        }
    )
    spec = EvaluatorSpec(
        data=images.resolve(),
        checkpoints=folder.resolve(),
        proxy=proxy,
        constraints=Constraints(),
        plains=(),
        anchor=placed.plain.to_json(),
        anchor_ms=1.0,
        task=task,
    )
    chosen = measure_side_by_side(
        spec,
        placed.to_json(),
        gpus=gpus,
        placements=("processes",),
        log=folder / "events.log",
        say=observer.stage,
    )
    return chosen.number * len(gpus)


class _Watcher:
    """The ear of trainings that tells an observer how many have ended."""

    def __init__(self, observer: Observer, done: int, total: int) -> None:
        self._observer, self._done, self._total = observer, done, total

    def stage(self, text: str) -> None:
        self._observer.stage(text)

    def step(self, done: int, total: int) -> None:
        self._observer.step(done, total)

    def began(self, job: FullTrainingJob) -> None:
        return None

    def progressed(self, job: FullTrainingJob, report: ProgressReport) -> None:
        return None

    def ended(self, job: FullTrainingJob, result: FullTraining) -> None:
        self._done += 1
        if result.failure is not None:
            self._observer.stage(f"{job.about.reference}, seed {job.about.seed}: {result.failure}")
        self._observer.step(self._done, self._total)

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        self._observer.stage(f"{job.about.reference} goes on: its process was {reason}")
