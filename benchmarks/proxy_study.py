"""Which cheap training orders placements of attention as full training does, and is it fair?

    python benchmarks/proxy_study.py train DATA --work DIR [--workers 2] [--methods NAME ...]
    python benchmarks/proxy_study.py report [--picture docs/proxy-study.png]

DATA: `folder:PATH` of CIFAR-10, at 16 px. Twenty-five networks on a small MobileNetV2 (seven
sites): the plain one; SE, CBAM, ECA and coordinate attention at all, at the early and at the late
sites; and mixtures drawn at random. `warm` is the reference: all weights trained on at the full
learning rate, with the blocks put into the trained plain network, judged on images that no proxy
sees; then come the proxies. The test part is not touched. What was trained is in
`docs/proxy-study.csv`, a row each: an interrupted study goes on, and `report` needs no data.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.agreement import agreement, bias, paired_noise
from nas.architecture import Architecture, Insertion
from nas.backbones import find_sites
from nas.blocks import block_named
from nas.data import Dataset, Split, load_data
from nas.networks import build, inserted_modules
from nas.proxies.checkpoint import load_weights, save_weights
from nas.proxies.training import Recipe, Training, evaluate
from nas.seeds import derive
from nas.task import Classification

ROWS = Path("docs/proxy-study.csv")
BACKBONE, SIDE, STRIDE = "benchmarks.small_mobilenet:small_mobilenet", 16, None
CPU = torch.device("cpu")
FULL = 120_000  # images of one full training
WARM = FULL // 2  # of one warm training
CHEAP = WARM // 10
BATCH = 64
JUDGES = 10_000  # validation images that full training is judged by, and no proxy
FIELDS = ("method", "network", "seed", "loss", "accuracy", "seconds")
KINDS: dict[str, dict[str, int]] = {
    "se": {"reduction": 8},
    "cbam": {"reduction": 8, "kernel_size": 7},
    "eca": {},
    "coord": {"reduction": 8},
}
MIXED = 12
CLASSES = 10


# The networks.


def networks() -> dict[str, Architecture]:
    """By name; the same thirty wherever this runs."""
    sites = [site.name for site in find_sites(BACKBONE, SIDE, STRIDE, (), ())]
    half = (len(sites) + 1) // 2
    found = {"plain": _placed({})}
    for kind in KINDS:
        for name, where in (("all", sites), ("early", sites[:half]), ("late", sites[half:])):
            found[f"{kind} {name}"] = _placed(dict.fromkeys(where, kind))
    for number in range(MIXED):
        rng = random.Random(derive(0, "mixed", number))
        # From a little attention to much of it, and of few kinds or of all.
        count = round(2 + (len(sites) - 2) * number / (MIXED - 1))
        kinds = rng.sample(sorted(KINDS), rng.choice([1, 2, 4]))
        found[f"mixed {number}"] = _placed(
            {site: rng.choice(kinds) for site in rng.sample(sites, count)}
        )
    return found


def _placed(blocks: dict[str, str]) -> Architecture:
    insertions = tuple(
        Insertion(site, kind, tuple(block_named(kind).complete(KINDS[kind]).items()))
        for site, kind in sorted(blocks.items())
    )
    return Architecture(BACKBONE, SIDE, insertions, STRIDE)


# The methods.


@dataclass(frozen=True)
class Method:
    """train: `all` or `blocks`. backbone: images that the plain network was trained on before
    (0: none). images: of this training. seeds: how many.
    """

    name: str
    images: int
    learning_rate: float
    train: str = "all"
    start: str = "identity"
    backbone: int = 0
    optimiser: str = "sgd"
    seeds: int = 2


def methods() -> list[Method]:
    """In the order of what an interrupted study should hold first. The learning rates are the
    project's defaults, and factors around them.
    """
    probe = Method("probe", CHEAP, 0.003, train="blocks", backbone=FULL, optimiser="adamw")
    finetune = Method("finetune", CHEAP, 0.01, backbone=FULL)
    scratch = Method("scratch", CHEAP, 0.05, start="paper")
    warm = Method("warm", WARM, 0.05, backbone=FULL, seeds=1)
    return [
        warm,
        probe,
        replace(probe, name="probe, rate x3", learning_rate=0.01),
        replace(probe, name="probe, backbone 1/8", backbone=FULL // 8),
        replace(probe, name="probe, rate /3", learning_rate=0.001),
        replace(warm, seeds=2),
        replace(probe, name="probe, SGD", learning_rate=0.05, optimiser="sgd"),
        replace(probe, name="probe, twice as long", images=2 * CHEAP),
        finetune,
        replace(finetune, name="finetune, full rate", learning_rate=0.05),
        scratch,
        replace(scratch, name="scratch, identity start", start="identity"),
        replace(warm, seeds=3),
        Method("full", FULL, 0.05, start="paper", seeds=1),
    ]


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

    recipe = Recipe(method.images // BATCH, BATCH, method.learning_rate, optimiser=method.optimiser)
    return Training(
        network,
        data,
        Classification(CLASSES),
        recipe,
        parameters=[item for module in trained for item in module.parameters()],
        seed=seed,
        device=CPU,
        set_mode=mode,
    )


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


def tasks(chosen: list[str]) -> Iterator[tuple[Method, str, int]]:
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
    for number, (method, name, seed) in enumerate(tasks(chosen)):
        if number % of != part or (method.name, name, seed) in done(rows):
            continue
        if method.train == "blocks" and not known[name].blocks and seed > 0:
            continue
        run = training(method, known[name], seed, found.data, work)
        begun = time.process_time()
        run.run()
        seconds = time.process_time() - begun
        data = found.judges if method.name in {"full", "warm"} else found.data
        score = evaluate(run.network, data, Classification(CLASSES), device=CPU)
        row = (method.name, name, seed, f"{score.loss:.6f}", f"{score.accuracy:.4f}")
        line = ",".join(map(str, (f'"{method.name}"', *row[1:], f"{seconds:.1f}")))
        # One short write to a file that is open for appending is whole.
        with rows.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def prepare(data: Dataset, work: Path, images: int) -> None:
    """Train the plain network, once."""
    path = backbone_path(work, images)
    if path.exists():
        return
    plain = networks()["plain"]
    by_name = {method.name: method for method in methods()}
    method = replace(by_name["full"], images=images)
    run = training(method, plain, 1000, data, work)
    run.run()
    score = evaluate(run.network, data, Classification(CLASSES), device=CPU)
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
    for images in sorted({method.backbone for method in methods()} - {0}):
        prepare(parts(arguments.data).data, arguments.work, images)
    command = [sys.executable, *sys.argv]
    started = [
        subprocess.Popen([*command, "--part", str(part)], env=os.environ | {"OMP_NUM_THREADS": "1"})
        for part in range(arguments.workers)
    ]
    sys.exit(max(process.wait() for process in started))


# Reporting.


@dataclass(frozen=True)
class Table:
    """loss, accuracy: (networks, seeds), NaN where missing; seconds: mean of one training."""

    loss: np.ndarray
    accuracy: np.ndarray
    seconds: float


def tables(rows: Path) -> dict[str, Table]:
    names = list(networks())
    found: dict[str, list[dict[str, str]]] = {}
    with rows.open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["method"], []).append(row)
    made = {}
    for method, listed in found.items():
        seeds = 1 + max(int(row["seed"]) for row in listed)
        values = np.full((2, len(names), seeds), np.nan)
        for row in listed:
            at = names.index(row["network"]), int(row["seed"])
            values[0][at], values[1][at] = float(row["loss"]), float(row["accuracy"])
        made[method] = Table(
            values[0], values[1], float(np.mean([float(row["seconds"]) for row in listed]))
        )
    return made


def shares() -> dict[str, np.ndarray]:
    """Of each kind and of each range of numbers of blocks: how much of a network is of it."""
    listed = list(networks().values())
    found = {}
    for kind in KINDS:
        of = [[item.block == kind for item in network.insertions] for network in listed]
        found[kind] = np.array([np.mean(item) if item else 0.0 for item in of])
    count = np.array([len(network.blocks) for network in listed])
    for low, high in ((0, 0), (1, 6), (7, 11), (12, 16)):
        name = f"{low}-{high} blocks" if high else "plain"
        found[name] = ((count >= low) & (count <= high)).astype(float)
    return found


def report(arguments: argparse.Namespace) -> None:
    made = tables(arguments.rows)
    full = made["warm"]
    truth = full.accuracy
    whole = ~np.isnan(truth).any(axis=1)
    print(
        f"{int(whole.sum())} networks trained fully with {truth.shape[1]} seeds, "
        f"{full.seconds:.0f} s each; accuracy {np.nanmean(truth):.1%}, between networks "
        f"±{np.nanmean(truth, axis=1).std():.2%}, between seeds ±{paired_noise(truth):.2%}"
    )
    for quality, reference in (("accuracy", truth), ("loss", -full.loss)):
        print(f"\nAgainst {quality} of full training:")
        for method, table in made.items():
            if method in {"warm", "full"}:
                continue
            rows = whole & ~np.isnan(table.loss).all(axis=1)
            found = agreement(-table.loss[rows], reference[rows])
            errors = bias(
                -table.loss[rows],
                reference[rows],
                {name: share[rows] for name, share in shares().items()},
            )
            print(
                f"{method:26} {table.seconds / full.seconds:6.1%} of the cost, "
                f"{rows.sum()} networks: Spearman {found.spearman} of {found.ceiling:.2f}, "
                f"Kendall {found.kendall}, best quarter {found.best_kendall} "
                f"of {found.best_ceiling:.2f}"
            )
            print("    bias " + ", ".join(f"{name} {item.error}" for name, item in errors.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("data")
    training.add_argument("--work", type=Path, required=True)
    training.add_argument("--rows", type=Path, default=ROWS)
    training.add_argument("--workers", type=int, default=2)
    training.add_argument("--part", type=int)
    training.add_argument("--methods", nargs="*", default=[])
    training.set_defaults(run=train)
    reporting = commands.add_parser("report")
    reporting.add_argument("--rows", type=Path, default=ROWS)
    reporting.set_defaults(run=report)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
