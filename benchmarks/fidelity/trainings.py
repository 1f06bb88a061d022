"""Trainings that go on where they were stopped, and a row for each that has ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.fidelity.landscapes import Landscape
from nas.base.errors import SpecError, StorageError
from nas.data import Dataset, Split, load_data
from nas.models.build import build
from nas.spec.task import Task
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe, steps_in

__all__ = ["Images", "Job", "append", "begin", "finish", "rows_of"]

_CPU = torch.device("cpu")
_FIRST = 3  # steps whose losses tell whether network, images or recipe have changed
_SAME = 1e-3
_SAVE_EVERY = 300.0  # seconds of a training that may be lost


@dataclass(frozen=True)
class Images:
    """The images of a landscape: what is trained on, what proxies see, and what judges.

    source: `folder:PATH`; its test part is not opened.
    """

    source: str
    landscape: Landscape

    @cached_property
    def _all(self) -> Dataset:
        return load_data(self.source, self.landscape.resolution, validation=0.2, seed=0)

    @cached_property
    def proxies(self) -> Dataset:
        """The images that short trainings are read on."""
        return replace(self._all, validation=self._half(0))

    @cached_property
    def judges(self) -> Dataset:
        """The images that full trainings are judged by, which no short training sees."""
        return replace(self._all, validation=self._half(1))

    def _half(self, number: int) -> Split:
        held = self._all.validation
        order = torch.randperm(len(held), generator=torch.Generator().manual_seed(0))
        middle = len(held) // 2
        rows = order[:middle] if number == 0 else order[middle:]
        return replace(held, images=held.images[rows], labels=held.labels[rows])


@dataclass(frozen=True, slots=True)
class Job:
    """One training: the keys of its row, its seed, and its recipe in epochs.

    key: what names the row; no two jobs of a file have the same.
    """

    key: Mapping[str, Any]
    network: str
    seed: int
    epochs: float
    start: Literal["identity", "paper"] = "identity"
    learning_rate: float | None = None
    warm_up: float | None = None
    schedule: str = "cosine"
    cooldown: float = 0.0


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row: one short write to a file that is open for appending is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    broken = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write(("\n" if broken else "") + json.dumps(row) + "\n")


def begin(landscape: Landscape, images: Images, job: Job) -> Training:
    """Return the training of a job at its start."""
    data = images.proxies
    classes = len(data.classes)
    network = build(
        landscape.networks[job.network], num_classes=classes, start=job.start, seed=job.seed
    )
    return Training(
        network,
        data,
        Task(outputs=classes),
        _recipe(landscape, job, len(data.train)),
        parameters=network.parameters(),
        seed=job.seed,
        device=_CPU,
    )


def first_losses(landscape: Landscape, images: Images, job: Job) -> list[float]:
    """Return the mean training loss of the first steps, one after the other.

    They change with the network's code, its images, its seed and its recipe, and with no more.
    """
    training, losses, before = begin(landscape, images, job), [], 0.0
    for step in range(1, _FIRST + 1):
        training.run(step)
        total = float(training.state()["losses"][-1])
        losses.append(round(total - before, 5))
        before = total
    return losses


def check_unchanged(landscape: Landscape, images: Images, row: Mapping[str, Any], job: Job) -> None:
    """Raise SpecError when a row is of another recipe, other images or another network's code."""
    recipe = asdict(_recipe(landscape, job, len(images.proxies.train)))
    if json.loads(json.dumps(recipe)) != row["recipe"]:
        raise SpecError(f"{row['network']}: its row has another recipe; begin a file of its own")
    today = first_losses(landscape, images, job)
    if any(abs(a - b) > _SAME for a, b in zip(today, row["first_losses"], strict=True)):
        raise SpecError(
            f"{row['network']}: its row was made with other images or another code of the "
            f"network (first losses {row['first_losses']}, today {today}); begin a file of its own"
        )


def finish(landscape: Landscape, images: Images, job: Job, work: Path) -> dict[str, Any]:
    """Train a job to its end and judge it, from where an earlier process left it."""
    training = begin(landscape, images, job)
    first = first_losses(landscape, images, job)
    text = json.dumps([dict(job.key), asdict(training.recipe), first], sort_keys=True)
    kept = work / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    with suppress(StorageError):
        training.load(load_weights(kept))
    for until in _stops(training):
        training.run(until)
        save_weights(kept, training.state())
    seen, judged = (
        evaluate(training.trained, data, Task(outputs=len(data.classes)), device=_CPU)
        for data in (images.proxies, images.judges)
    )
    kept.unlink(missing_ok=True)
    return {
        **job.key,
        "network": job.network,
        "seed": job.seed,
        "epochs": job.epochs,
        "start": job.start,
        "loss": round(judged.loss, 5),
        "accuracy": round(judged.accuracy, 4),
        "proxy_loss": round(seen.loss, 5),
        "proxy_accuracy": round(seen.accuracy, 4),
        "curve": [round(loss, 4) for loss in training.epoch_losses],
        "first_losses": first,
        "recipe": asdict(training.recipe),
    }


def _stops(training: Training) -> Iterator[float]:
    """Give the steps to stop and save at, about every five minutes."""
    began, step = time.monotonic(), training.step
    stride = 100
    while training.spent < training.recipe.length:
        yield min(training.spent + stride, training.recipe.length)
        pace = (time.monotonic() - began) / max(1, training.step - step)
        stride = max(100, round(_SAVE_EVERY / max(pace, 1e-6)))


def _recipe(landscape: Landscape, job: Job, images: int) -> Recipe:
    warm_up = landscape.warm_up if job.warm_up is None else job.warm_up
    return Recipe(
        length=steps_in(job.epochs, images, landscape.batch_size),
        batch_size=landscape.batch_size,
        learning_rate=job.learning_rate or landscape.learning_rate,
        warm_up=min(warm_up / job.epochs, 0.5),
        schedule=job.schedule,
        cooldown=job.cooldown / job.epochs,
    )
