"""Full training of one network: begun, gone on with, judged on the way, and tested once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from nas.base.errors import TrainingError
from nas.base.seeds import derive
from nas.data import Dataset, Reading, open_data
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.full_recipe import FullRecipe
from nas.spec.launch import Launch
from nas.spec.task import Task
from nas.study.full_training import FullTraining, pack_flags, pack_losses, pack_marks
from nas.training.augmentation import Augmentation
from nas.training.candidate_checkpoint import Rungs, load_training, save_training
from nas.training.checkpoint import load_weights, save_weights
from nas.training.device import best_device
from nas.training.fine_tuning import fine_tuned
from nas.training.launch import check_launch
from nas.training.loop import Training, evaluate
from nas.training.original_size import judge_on_test_images
from nas.training.placement import placed
from nas.training.precision import check_precision
from nas.training.recipe import Recipe, steps_in
from nas.training.tasks import Score

__all__ = [
    "FullTrainingJob",
    "TrainingStopped",
    "begin",
    "test_trained",
    "train_fully",
    "training_file",
    "weights_file",
]

_SAVE_EVERY = 60.0  # seconds of training that a kill may cost
_KIND = "scratch"  # of proxy: everything is trained, so everything is kept


class TrainingStopped(BaseException):
    """An end that was wished from outside, after the training was kept."""


@dataclass(frozen=True, slots=True)
class FullTrainingJob:
    """An order to train one network fully; plain values, so that it travels.

    about: what is known before.
    architecture: canonical JSON.
    source: the images by name.
    data: the folder of those decoded for training.
    folder: for weights and checkpoints.
    run_seed: of the run that it belongs to.
    task: what the network is for.
    test: whether the source brings a test part.
    backbone: file of the plain network's weights, for a recipe that starts from them.
    looks: at the validation images on the way, the last one at the end.
    reading: how the images are read.
    launch: how its steps are launched.
    """

    about: FullTraining
    architecture: str
    source: str
    data: Path
    folder: Path
    run_seed: int
    task: Task
    test: bool
    backbone: Path | None = None
    looks: int = 10
    reading: Reading = Reading()
    launch: Launch = "eager"

    @property
    def recipe(self) -> FullRecipe:
        """The recipe that the job says."""
        return FullRecipe(**self.about.recipe)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        paths = ("data", "folder", "backbone")
        return asdict(self) | {
            name: None if getattr(self, name) is None else str(getattr(self, name))
            for name in paths
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FullTrainingJob:
        """Read what `to_dict` wrote."""
        values = {
            "about": FullTraining.from_dict(data["about"]),
            "data": Path(data["data"]),
            "folder": Path(data["folder"]),
            "backbone": Path(data["backbone"]) if data["backbone"] else None,
            "reading": Reading(**data["reading"]),
            "task": Task(**data["task"]),
        }
        return cls(**data | values)


def weights_file(about: FullTraining) -> str:
    """Return the name of a file for trained weights.

    Two recipes, or sets of images, do not write over each other.
    """
    return f"{about.digest}-{about.seed}.{about.key}.safetensors"


def training_file(about: FullTraining) -> str:
    """Return the name of a file for a training that has not come to its end."""
    return f"{about.digest}-{about.seed}.{about.key}.training.safetensors"


def begin(
    architecture: Architecture,
    data: Dataset,
    recipe: FullRecipe,
    task: Task,
    *,
    seed: int,
    device: torch.device,
    backbone: Path | None = None,
    launch: Launch = "eager",
) -> Training:
    """Return the training of a network at its start.

    backbone: file of weights that the plain network starts from; None takes the recipe's.
    launch: how its steps are launched.
    Raises SpecError when pretrained weights cannot be had, or the recipe is of another task.
    Raises StorageError when `backbone` cannot be read.
    """
    recipe.check(task)
    network = build(
        architecture,
        task=task,
        start=recipe.block_start,
        weights=None if backbone is None else load_weights(backbone),
        pretrained=recipe.weights == "pretrained",
        seed=seed,
    )
    groups, set_mode = fine_tuned(
        network,
        architecture,
        task,
        rate_share=recipe.rate_share,
        freeze_norms=recipe.freeze_norms,
    )
    return Training(
        network,
        data,
        task,
        Recipe(
            length=steps_in(recipe.epochs, len(data.train), recipe.batch_size),
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            warm_up=min(recipe.warm_up / recipe.epochs, 1.0),
            schedule=recipe.schedule,
            ema=recipe.ema,
        ),
        parameters=groups,
        seed=seed,
        device=device,
        set_mode=set_mode,
        augmentation=Augmentation(
            len(data.classes),
            label_smoothing=recipe.label_smoothing,
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            rand_augment=recipe.rand_augment,
        ),
        precision=recipe.precision,
        launch=launch,
    )


def train_fully(
    job: FullTrainingJob,
    *,
    device: torch.device,
    say: Callable[[dict[str, float]], None] = lambda news: None,
    stopping: Callable[[], bool] = lambda: False,
) -> FullTraining:
    """Train a network to the end, from where an earlier process was stopped, and judge it.

    The checkpoint stays, for whoever keeps the result to remove. Where torch.distributed is
    initialised, all processes train, and the first one judges, keeps and reports.

    say: called with {epoch, of, seconds}, and {loss, accuracy} with them after a look at the
        validation images.
    stopping: asked after every step; once it is true, the training is kept and ends.
    Raises TrainingStopped when `stopping` said so.
    Raises TrainingError when the training diverges or does not fit into memory.
    Raises StorageError, SpecError when a file cannot be read or written.
    """
    torch.set_num_threads(job.about.threads)
    check_precision(job.recipe.precision, device)
    check_launch(job.launch, device)
    looked = _Looked(job, device)
    score = looked.run(say, stopping)
    if not looked.first:
        return job.about
    # A training that was stopped behind its last look has not been judged by this process.
    if score is None:
        score = looked.judge()
        looked.training.check(score)
    return looked.result(score)


class _Looked:
    """A full training that is judged at each of its looks, and kept there and in between.

    Looks lie where the recipe says, not where this process began: so the curve is the same
    however often the training was interrupted.
    """

    def __init__(self, job: FullTrainingJob, device: torch.device) -> None:
        self.first = not dist.is_initialized() or dist.get_rank() == 0
        self._job, self._device = job, device
        self._data = placed(open_data(job.data), device)
        self._architecture = Architecture.from_json(job.architecture)
        self.training = begin(
            self._architecture,
            self._data,
            job.recipe,
            job.task,
            seed=derive(job.run_seed, "retrain", job.about.seed),
            device=device,
            backbone=job.backbone,
            launch=job.launch,
        )
        self._path = job.folder / training_file(job.about)
        earlier = load_training(self._path, self.training)
        # The last row of a checkpoint between two looks has no figures, only the time.
        self._curve: Rungs = [row for row in earlier if not math.isnan(row[1])]
        spent = earlier[-1][3] if earlier else 0.0
        self._watch = _Watch(self.training, spent, job.recipe.epochs)

    def run(
        self, say: Callable[[dict[str, float]], None], stopping: Callable[[], bool]
    ) -> Score | None:
        """Train to the end; return the last look, of the first process, where this one took it.

        say, stopping: see `train_fully`.
        """
        watch, score = self._watch, None

        def after_step(_done: int, _of: int) -> None:
            stop = self.first and stopping()
            if stop or watch.due:
                self._keep([*self._curve, (watch.epoch, math.nan, math.nan, watch.seconds)])
            if stop:
                raise TrainingStopped
            if watch.spoke_long_ago:
                say(watch.news())

        length, count = self.training.recipe.length, self._job.looks
        looks = sorted({max(1, round(length * (i + 1) / count)) for i in range(count)})
        for until in looks[len(self._curve) :]:
            self.training.run(until, progress=after_step)
            watch.pause()
            with _failing_together(self._device):
                if self.first:
                    score = self.judge()
                    if until == looks[-1]:
                        self.training.check(score)
            if score is not None:
                self._curve.append((watch.epoch, score.loss, score.accuracy, watch.seconds))
                say(watch.news() | {"loss": score.loss, "accuracy": score.accuracy})
            self._keep(self._curve)
            watch.go_on()
        return score

    def judge(self) -> Score:
        """Look at the validation images."""
        return evaluate(
            self.training.trained,
            self._data,
            self._job.task,
            device=self._device,
            precision=self.training.precision,
        )

    def result(self, score: Score) -> FullTraining:
        """Keep the weights, look at the test images, and return the row of the study."""
        job, training = self._job, self.training
        save_weights(job.folder / weights_file(job.about), training.trained.state_dict())
        return replace(
            job.about,
            loss=score.loss,
            accuracy=score.accuracy,
            images=len(score.losses),
            losses=pack_losses(score.losses.numpy(), marked=not job.task.is_classification),
            curve=[(epoch, loss, accuracy, spent) for epoch, loss, accuracy, spent in self._curve],
            images_seen=training.images_seen,
            epoch_losses=training.epoch_losses,
            seconds=self._watch.seconds,
            processes=dist.get_world_size() if dist.is_initialized() else 1,
            device=self._device.type,
            weights=weights_file(job.about),
            **_beyond_accuracy(job.task, score),
            **(_test(job, training, self._data, self._device) if job.test else {}),
        )

    def _keep(self, rows: Rungs) -> None:
        if self.first:
            state = self.training.state()
            save_training(self._path, self.training.network, state, self._architecture, _KIND, rows)
        self._watch.note_save()


@contextmanager
def _failing_together(device: torch.device) -> Iterator[None]:
    """Raise in all processes what the first one raises.

    None of them then waits for another that has given up.
    """
    failure: TrainingError | None = None
    try:
        yield
    except TrainingError as error:
        failure = error
    if dist.is_initialized():
        failed = torch.tensor([failure is not None], dtype=torch.int32, device=device)
        dist.broadcast(failed, 0)
        if failed.item():
            failure = failure or TrainingError("training diverged")
    if failure is not None:
        raise failure


def _test(
    job: FullTrainingJob, training: Training, data: Dataset, device: torch.device
) -> dict[str, Any]:
    """Take the one look at the test images."""
    score = judge_on_test_images(
        training.trained,
        data,
        job.task,
        job.source,
        job.about.resolution,
        job.reading,
        device=device,
        precision=job.recipe.precision,
    )
    return _tested(score, job.task)


def test_trained(
    folder: Path,
    architecture: Architecture,
    training: FullTraining,
    source: str,
    data: Path,
    reading: Reading,
    task: Task,
) -> FullTraining:
    """Take the one look at the test images with weights that were kept; return the training so.

    folder: that the weights are in.
    source, reading: the test images, and how they are read.
    data: the folder of the decoded images that it was trained on.
    task: what the network is for.
    Raises StorageError when the weights are gone.
    """
    assert training.weights is not None
    images, device, recipe = open_data(data), best_device(), FullRecipe(**training.recipe)
    check_precision(recipe.precision, device)
    network = build(architecture, task=task, start=recipe.block_start)
    network.load_state_dict(load_weights(folder / training.weights))
    score = judge_on_test_images(
        network,
        images,
        task,
        source,
        training.resolution,
        reading,
        device=device,
        precision=recipe.precision,
    )
    return replace(training, **_tested(score, task))


def _tested(score: Score, task: Task) -> dict[str, Any]:
    values = {
        "test_loss": score.loss,
        "test_accuracy": score.accuracy,
        "test_images": len(score.losses),
        "test_losses": pack_losses(score.losses.numpy(), marked=not task.is_classification),
    }
    if task.is_classification:
        return values | {"test_correct": pack_flags(score.marks)}
    return values | {
        "test_figures": dict(score.figures),
        "test_marks": pack_marks(task.name, score.marks),
    }


def _beyond_accuracy(task: Task, score: Score) -> dict[str, Any]:
    """Return what is kept of the validation images of another task than classification."""
    if task.is_classification:
        return {}
    marks = pack_marks(task.name, score.marks)
    return {"task": task.name, "figures": dict(score.figures), "marks": marks}


class _Watch:
    """The time spent in training, over all processes that have worked on it, without looks."""

    def __init__(self, training: Training, before: float, epochs: float) -> None:
        self._training, self._before, self._epochs = training, before, epochs
        self._since: float | None = time.monotonic()
        self._saved = self._spoke = time.monotonic()

    @property
    def seconds(self) -> float:
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._before + running

    @property
    def epoch(self) -> float:
        return self._epochs * self._training.step / self._training.recipe.length

    @property
    def due(self) -> bool:
        return time.monotonic() - self._saved > _SAVE_EVERY

    @property
    def spoke_long_ago(self) -> bool:
        return time.monotonic() - self._spoke > 1.0

    def note_save(self) -> None:
        self._saved = time.monotonic()

    def news(self) -> dict[str, float]:
        self._spoke = time.monotonic()
        return {"epoch": self.epoch, "of": self._epochs, "seconds": self.seconds}

    def pause(self) -> None:
        self._before, self._since = self.seconds, None

    def go_on(self) -> None:
        self._since = time.monotonic()
