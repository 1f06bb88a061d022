"""Supernets of a space: opened with their images, trained, and networks scored by their weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from nas.base.machine import usable_cores
from nas.base.seeds import derive
from nas.data import (
    Dataset,
    cached_data,
    data_names,
    open_data,
    resolve_source,
    resolve_validation,
)
from nas.models.candidates import Candidates
from nas.runs.check_network import CLASSES, check_networks
from nas.runs.images import train_resolution
from nas.runs.lock import run_lock
from nas.runs.reading import reading_of
from nas.spec.architecture import Architecture
from nas.spec.runner import Runner
from nas.training.device import best_device
from nas.training.plain_backbone import prepare_backbone
from nas.training.precision import settle_precision
from nas.training.supernet import weights
from nas.training.supernet.folder import SupernetFile, SupernetFolder
from nas.training.supernet.supernet import Paths, Supernet

__all__ = ["open_supernets", "train_and_score"]

Count = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""A function: what is counted, in words -> a context that gives a function (done, of)."""


def open_supernets(
    out: Path,
    candidates: Candidates,
    runner: Runner,
    data: str,
    *,
    paths: Paths,
    frozen: bool,
    note: Callable[[str], None],
) -> tuple[SupernetFolder, Dataset]:
    """Make a folder of supernets, or open the one that goes on; with the images to train on.

    paths: which paths a step of training takes.
    frozen: whether the backbone's own weights stay as they are.
    note: hears what the user should know, a sentence each.
    Raises SpecError for a folder of other supernets, and for images or networks that do not fit.
    """
    for text in check_networks(candidates, runner.proxy, None, runner.task_on(CLASSES)):
        note(text)
    seed, size = runner.search.seed, train_resolution(candidates.space, runner)
    reading, held = reading_of(runner), runner.validation
    cached = cached_data(data, size, validation=held, seed=seed, reading=reading, note=note)
    names = data_names(data, size, validation=held, seed=seed, reading=reading)
    images = open_data(cached)
    file = SupernetFile(
        space=candidates.space,
        data=resolve_source(data),
        key=cached.name,
        classes=len(images.classes),
        task=runner.task_on(1).name,
        head=runner.task_on(1).head,
        validation=resolve_validation(held),
        seed=seed,
        frozen=frozen,
        plain=paths.plain,
        sandwich=paths.sandwich,
        proxy=settle_precision(runner.proxy, best_device()),
    )
    return SupernetFolder.prepare(out, file, candidates, names.values()), images


def train_and_score(
    folder: SupernetFolder, images: Dataset, *, networks: int, count: Count
) -> list[dict[str, Any]]:
    """Train a supernet for each backbone, and score networks of each.

    networks: how many are drawn beside the hand-placed ones; 0: none is scored.
    count: shows how far each step is.
    Returns a row for each scored network, the lowest loss of a backbone first.
    """
    rows: list[dict[str, Any]] = []
    with run_lock(folder.path):
        for plain, _ in folder.candidates.plains():
            supernet = _train(folder, plain, images, count)
            rows += _score(folder, supernet, images, networks, count) if networks else []
    return rows


def _train(folder: SupernetFolder, plain: Architecture, images: Dataset, count: Count) -> Supernet:
    backbone, proxy = folder.backbone(plain), folder.file.proxy
    if not backbone.exists():
        with count(f"training the plain {plain.backbone}") as progress:
            prepare_backbone(
                plain,
                images,
                folder.file.key,
                folder.file.purpose,
                proxy,
                backbone,
                seed=folder.file.seed,
                threads=usable_cores(),
                device=best_device(),
                progress=progress,
            )
    with count(f"training the supernet of {plain.backbone}") as progress:
        return folder.train(plain, images, device=best_device(), progress=progress)


def _score(
    folder: SupernetFolder, supernet: Supernet, images: Dataset, drawn: int, count: Count
) -> list[dict[str, Any]]:
    """Score hand-placed and drawn networks by inherited weights; the lowest loss comes first."""
    networks = _networks_to_score(supernet, drawn)
    task, device, precision = supernet.task, best_device(), folder.file.proxy.computed_in
    rows: list[dict[str, Any]] = []
    with count(f"scoring networks of {supernet.plain.backbone}") as progress:
        for done, (architecture, reference) in enumerate(networks, start=1):
            scores = weights.score(
                supernet, architecture, images, task, device=device, precision=precision
            )
            rows.append(
                {
                    "backbone": architecture.backbone,
                    "resolution": architecture.resolution,
                    "reference": reference,
                    "blocks": architecture.summary,
                    "loss": scores.loss,
                    "accuracy": scores.accuracy,
                    "architecture": architecture.to_dict(),
                }
            )
            progress(done, len(networks))
    return sorted(rows, key=lambda row: row["loss"])


def _networks_to_score(supernet: Supernet, number: int) -> list[tuple[Architecture, str | None]]:
    """Choose distinct networks, with the names of those that are hand-placed."""
    candidates = supernet.candidates
    named = candidates.references().items()
    placed = {network.digest: (network, name) for name, network in named if supernet.holds(network)}
    rng = random.Random(derive(supernet.seed, "scored"))
    drawn: dict[str, tuple[Architecture, None]] = {}
    for _ in range(20 * number * len(candidates.plains())):  # a small space has no more
        network = candidates.architecture(candidates.sample(rng))
        if supernet.holds(network) and network.digest not in placed and len(drawn) < number:
            drawn[network.digest] = (network, None)
    return [*placed.values(), *drawn.values()]
