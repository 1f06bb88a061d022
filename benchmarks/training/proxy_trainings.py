"""How each method of the proxy study trains or scores a network."""

from __future__ import annotations

import argparse
import csv
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import matplotlib

from benchmarks.training.proxy_methods import (
    BATCH,
    BEFORE,
    CLASSES,
    CPU,
    FULL,
    JUDGES,
    REFERENCE,
    SIDE,
    SUPERNET_RATE,
    AnyMethod,
    Inherited,
    Method,
    Scorer,
    Untrained,
    methods,
    networks,
    space,
)

matplotlib.use("Agg")
import torch
from torch import nn

from nas.base.errors import MeasurementError
from nas.data import Dataset, Split, load_data
from nas.models.build import build, inserted_modules
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.batches import Batches
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Training, evaluate
from nas.training.proxies.zero_cost import zero_cost_scores
from nas.training.recipe import Recipe
from nas.training.supernet.supernet import Supernet
from nas.training.supernet.train import train_supernet
from nas.training.supernet.weights import inherit, score

FIELDS = ("method", "network", "seed", "loss", "accuracy", "seconds")


def training(
    method: Method, architecture: Architecture, seed: int, data: Dataset, work: Path
) -> Training:
    weights = load_weights(backbone_path(work, method.backbone)) if method.backbone else None
    network = build(
        architecture, num_classes=CLASSES, start=method.start, weights=weights, seed=seed
    )
    trained: list[nn.Module] = [network]
    if method.train == "blocks":
        trained = inserted_modules(network, architecture)
    network.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)

    def mode(network: nn.Module) -> None:
        network.eval()
        for module in trained:
            module.train()

    steps = method.images // method.batch
    recipe = Recipe(
        steps, method.batch, method.learning_rate, optimiser=method.optimiser, ema=method.ema
    )
    if method.teacher:
        data = taught(data, method, work)
    return Training(
        network,
        data,
        Task(outputs=CLASSES),
        recipe,
        parameters=[item for module in trained for item in module.parameters()],
        seed=seed,
        device=CPU,
        set_mode=mode,
    )


def taught(data: Dataset, method: Method, work: Path) -> Dataset:
    """Labels that are mixed with what the plain network says of the images as they are."""
    plain = build(
        networks()["plain"],
        task=Task(outputs=CLASSES),
        weights=load_weights(backbone_path(work, method.backbone)),
    ).eval()
    trainer, split = Batches(data, CPU), data.train
    with torch.inference_mode():
        said = torch.cat(
            [
                plain(trainer.plain(split, slice(start, start + BATCH))).softmax(dim=1)
                for start in range(0, len(split), BATCH)
            ]
        )
    exact = torch.nn.functional.one_hot(split.labels, CLASSES)
    soft = method.teacher * said + (1 - method.teacher) * exact
    return replace(data, train=replace(split, labels=soft))


def scorer(method: Inherited | Untrained, seed: int, data: Dataset, work: Path) -> Scorer:
    """What gives (loss or minus a score, accuracy) of a network."""
    if isinstance(method, Untrained):
        return partial(untrained, method.name, seed, data)
    supernet = Supernet(
        Candidates(space()),
        networks()["plain"],
        task=Task(outputs=CLASSES),
        weights=load_weights(backbone_path(work, FULL)),
        seed=seed,
        frozen=method.frozen,
    )
    train_supernet(
        supernet,
        data,
        Task(outputs=CLASSES),
        Recipe(method.images // BATCH, BATCH, SUPERNET_RATE, optimiser="adamw"),
        seed=seed,
        device=CPU,
        keep=work / f"supernet-{method.images}-{method.frozen}-{seed}.safetensors",
    )

    def inherited(architecture: Architecture) -> tuple[float, float]:
        task = Task(outputs=CLASSES)
        if images := method.recalibration:
            found = score(supernet, architecture, data, task, device=CPU, images=images, seed=seed)
        else:
            found = evaluate(inherit(supernet, architecture), data, task, device=CPU)
        return found.loss, found.accuracy

    return inherited


def untrained(
    name: str, seed: int, data: Dataset, architecture: Architecture
) -> tuple[float, float]:
    try:
        value = zero_cost_scores(architecture, data, names=[name], seed=seed)[name]
    except MeasurementError:
        value = math.nan
    return -value, math.nan


def backbone_path(work: Path, images: int) -> Path:
    return work / f"plain-{images}.safetensors"


# Training.


@dataclass(frozen=True)
class Parts:
    """data: what is trained on, and what proxies are judged by. judges: what full training is
    judged by.
    """

    data: Dataset
    judges: Dataset


def parts(source: str) -> Parts:
    data = load_data(source, SIDE, validation=0.4, seed=0)
    order = torch.randperm(len(data.validation), generator=torch.Generator().manual_seed(0))
    return Parts(
        replace(data, validation=_of(data.validation, order[JUDGES:])),
        replace(data, validation=_of(data.validation, order[:JUDGES])),
    )


def _of(split: Split, rows: torch.Tensor) -> Split:
    return replace(split, images=split.images[rows], labels=split.labels[rows])


def tasks(chosen: list[str]) -> Iterator[tuple[AnyMethod, str, int]]:
    """Seed after seed, so that what is interrupted holds every network."""
    for method in methods():
        if chosen and method.name not in chosen:
            continue
        for seed in range(method.seeds):
            for network in networks():
                yield method, network, seed


def done(rows: Path) -> set[tuple[str, str, int]]:
    if not rows.exists():
        return set()
    with rows.open() as file:
        return {(row["method"], row["network"], int(row["seed"])) for row in csv.DictReader(file)}


def work_through(
    source: str, rows: Path, work: Path, chosen: list[str], part: int, of: int
) -> None:
    torch.set_num_threads(1)
    found, known = parts(source), networks()
    scorers: dict[tuple[str, int], Scorer] = {}
    for number, (method, name, seed) in enumerate(tasks(chosen)):
        # One worker has all scores of a supernet, which is trained in it.
        mine = number % of if isinstance(method, Method) else (seed + len(method.name)) % of
        if mine != part or (method.name, name, seed) in done(rows):
            continue
        if not known[name].blocks and seed > 0 and not retrained(method):
            continue
        begun = time.process_time()
        if isinstance(method, Method):
            run = training(method, known[name], seed, found.data, work)
            begun = time.process_time()
            run.run()
            seconds = time.process_time() - begun
            data = found.judges if method.name == REFERENCE else found.data
            judged = evaluate(run.trained, data, Task(outputs=CLASSES), device=CPU)
            loss, accuracy = judged.loss, judged.accuracy
        else:
            if (method.name, seed) not in scorers:
                scorers[method.name, seed] = scorer(method, seed, found.data, work)
                print(
                    f"{method.name}, {seed}: ready in {time.process_time() - begun:.1f} s",
                    flush=True,
                )
            begun = time.process_time()
            loss, accuracy = scorers[method.name, seed](known[name])
            seconds = time.process_time() - begun
        line = f'"{method.name}",{name},{seed},{loss:.6g},{accuracy:.4f},{seconds:.1f}'
        # One short write to a file that is open for appending is whole.
        with rows.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def retrained(method: AnyMethod) -> bool:
    """Whether another seed changes the plain network."""
    return not (isinstance(method, Method) and method.train == "blocks")


def prepare(data: Dataset, work: Path, images: int) -> None:
    """Train the plain network, once."""
    path = backbone_path(work, images)
    if path.exists():
        return
    run = training(replace(BEFORE, images=images), networks()["plain"], 1000, data, work)
    run.run()
    score = evaluate(run.trained, data, Task(outputs=CLASSES), device=CPU)
    print(f"plain network, {images} images: {score.loss:.4f}, {score.accuracy:.1%}", flush=True)
    save_weights(path, run.network.state_dict())


def train(arguments: argparse.Namespace) -> None:
    arguments.work.mkdir(parents=True, exist_ok=True)
    if not arguments.rows.exists():
        arguments.rows.write_text(",".join(FIELDS) + "\n")
    if arguments.part is not None:
        work_through(
            arguments.data,
            arguments.rows,
            arguments.work,
            arguments.methods,
            arguments.part,
            arguments.workers,
        )
        return
    torch.set_num_threads(1)
    for images in (FULL // 8, FULL):
        prepare(parts(arguments.data).data, arguments.work, images)
    command = [sys.executable, "-m", "benchmarks.training.proxy_study", *sys.argv[1:]]
    started = [
        subprocess.Popen([*command, "--part", str(part)], env=os.environ | {"OMP_NUM_THREADS": "1"})
        for part in range(arguments.workers)
    ]
    sys.exit(max(process.wait() for process in started))
