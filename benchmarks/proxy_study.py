"""Which cheap training orders placements of attention as full training does, and is it fair?

    python benchmarks/proxy_study.py train DATA --work DIR [--workers 2] [--methods NAME ...]
    python benchmarks/proxy_study.py report [--picture docs/proxy-study.png]

DATA: `folder:PATH` of CIFAR-10, at 16 px. Thirty networks on a small MobileNetV2 (seven sites):
the plain one; SE, CBAM, ECA and coordinate attention at all, at the early and at the late sites;
and mixtures drawn at random. `warm` is the reference: all weights trained on at the full
learning rate, with the blocks put into the trained plain network, judged on images that no proxy
sees; then come the proxies. The test part is not touched. What was trained is in
`docs/proxy-study.csv`, a row each: an interrupted study goes on, and `report` needs no data.
Where a method gives a score, its row has minus that score in place of a loss.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from nas.backbones import find_sites
from nas.base.errors import MeasurementError
from nas.base.seeds import derive
from nas.blocks import block_named
from nas.data import Dataset, Split, load_data
from nas.models.build import build, inserted_modules
from nas.models.candidates import Candidates
from nas.runs.calibrate.agreement import Agreement, Bias, agreement, bias, paired_noise
from nas.spec.architecture import Architecture, Insertion, Option
from nas.spec.space import SearchSpace
from nas.training.batches import Batches
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Recipe, Training, evaluate
from nas.training.proxies.zero_cost import ZERO_COST, zero_cost_scores
from nas.training.supernet.supernet import Supernet
from nas.training.supernet.train import train_supernet
from nas.training.supernet.weights import inherit, score
from nas.training.task import Classification

ROWS = Path("docs/proxy-study.csv")
BACKBONE, SIDE, STRIDE = "mobilenetv2_cifar", 16, None
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
MIXED = 17
CLASSES = 10
SUPERNET_RATE = 0.001
REFERENCE = "warm"
SHOWN = "probe, 3x as long"
TOGETHER = (
    (SHOWN, "number of blocks"),
    (SHOWN, "macs"),
    (SHOWN, "zico"),
    (SHOWN, "macs", "zico"),
    (SHOWN, "probe, SGD, 3x as long"),
    (SHOWN, "supernet"),
    (SHOWN, "finetune, 3x as long"),
    ("supernet, backbone too, 4x", "macs"),
    ("supernet, backbone too, 4x", SHOWN),
    ("supernet, backbone too, 4x", "supernet, backbone too, 16x"),
    ("supernet, backbone too, 4x", "probe, 3x, rate /3"),
    ("probe, 3x, rate /3", "macs"),
)
BY_ACCURACY = (SHOWN, "supernet", "supernet, not recalibrated", "supernet, 4x as long")

Scorer = Callable[[Architecture], tuple[float, float]]


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
    (0: none). images: of this training, `batch` a step. teacher: share of the labels that is what
    the plain network says. ema: decay of the running mean of the weights that is judged; None: the
    weights themselves. seeds: how many.
    """

    name: str
    images: int
    learning_rate: float
    train: str = "all"
    start: str = "identity"
    backbone: int = 0
    optimiser: str = "sgd"
    teacher: float = 0.0
    batch: int = BATCH
    ema: float | None = None
    seeds: int = 2


@dataclass(frozen=True)
class Inherited:
    """Scores by a supernet. images: that it is trained on. frozen: its backbone. recalibration:
    images by which batch norms are estimated again for each network; 0: they are not.
    """

    name: str
    images: int
    frozen: bool = True
    recalibration: int = 1024
    seeds: int = 2


@dataclass(frozen=True)
class Untrained:
    """A zero-cost score, on another draw of images for each seed."""

    name: str
    seeds: int = 2


AnyMethod = Method | Inherited | Untrained
BEFORE = Method("plain", FULL, 0.05, start="paper")  # the plain network's own training


def methods() -> list[AnyMethod]:
    """In the order of what an interrupted study should hold first. The learning rates are the
    project's defaults, and factors around them.
    """
    probe = Method("probe", CHEAP, 0.003, train="blocks", backbone=FULL, optimiser="adamw")
    finetune = Method("finetune", CHEAP, 0.01, backbone=FULL)
    scratch = Method("scratch", CHEAP, 0.05, start="paper")
    warm = Method("warm", WARM, 0.05, backbone=FULL, seeds=1)
    supernet = Inherited("supernet", WARM)
    long = replace(probe, name="probe, 3x as long", images=3 * CHEAP)
    full_rate = replace(finetune, name="finetune, full rate", learning_rate=0.05)
    return [
        warm,
        probe,
        replace(warm, seeds=2),
        replace(long, name="probe, SGD, 3x as long", learning_rate=0.1, optimiser="sgd"),
        long,
        supernet,
        replace(finetune, name="finetune, 3x as long", images=3 * CHEAP, seeds=1),
        *(Untrained(name) for name in ZERO_COST),
        full_rate,
        replace(full_rate, name="finetune, full rate, 3x", images=3 * CHEAP, seeds=1),
        replace(supernet, name="supernet, not recalibrated", recalibration=0),
        replace(supernet, name="supernet, backbone too", frozen=False),
        replace(probe, name="probe, SGD", learning_rate=0.1, optimiser="sgd"),
        replace(scratch, name="scratch, 3x as long", images=3 * CHEAP, seeds=1),
        replace(warm, seeds=3),
        # As many steps as the longer probe, for the cost of the shorter.
        replace(probe, name="probe, batch 16", batch=16),
        replace(probe, name="probe, batch 16, rate /2", batch=16, learning_rate=0.0015, seeds=1),
        replace(long, name="probe, 10x as long", images=10 * CHEAP, seeds=1),
        replace(long, name="probe, 3x, distilled", teacher=0.5, seeds=1),
        replace(supernet, name="supernet, 4x as long", images=4 * WARM),
        replace(
            supernet,
            name="supernet, 4x, recalibrated 4x",
            images=4 * WARM,
            recalibration=4096,
            seeds=1,
        ),
        replace(supernet, name="supernet, 16x as long", images=16 * WARM, seeds=1),
        replace(
            supernet, name="supernet, backbone too, 4x", images=4 * WARM, frozen=False, seeds=1
        ),
        replace(
            supernet, name="supernet, backbone too, 16x", images=16 * WARM, frozen=False, seeds=1
        ),
        replace(long, name="probe, 3x, averaged weights", ema=0.98, seeds=1),
        replace(long, name="probe, 3x, rate /3", learning_rate=0.001, seeds=1),
        replace(probe, name="probe, rate /3", learning_rate=0.001, seeds=1),
        replace(probe, name="probe, rate /10", learning_rate=0.0003, seeds=1),
        replace(long, name="probe, 3x, rate /10", learning_rate=0.0003, seeds=1),
        replace(long, name="probe, 3x, backbone 1/8", backbone=FULL // 8, seeds=1),
        replace(
            scratch, name="scratch, identity start, 3x", start="identity", images=3 * CHEAP, seeds=1
        ),
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

    steps = method.images // method.batch
    recipe = Recipe(
        steps, method.batch, method.learning_rate, optimiser=method.optimiser, ema=method.ema
    )
    if method.teacher:
        data = taught(data, method, work)
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


def taught(data: Dataset, method: Method, work: Path) -> Dataset:
    """Labels that are mixed with what the plain network says of the images as they are."""
    plain = build(
        networks()["plain"],
        num_classes=CLASSES,
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
        num_classes=CLASSES,
        weights=load_weights(backbone_path(work, FULL)),
        seed=seed,
        frozen=method.frozen,
    )
    train_supernet(
        supernet,
        data,
        Classification(CLASSES),
        Recipe(method.images // BATCH, BATCH, SUPERNET_RATE, optimiser="adamw"),
        seed=seed,
        device=CPU,
        keep=work / f"supernet-{method.images}-{method.frozen}-{seed}.safetensors",
    )

    def inherited(architecture: Architecture) -> tuple[float, float]:
        task = Classification(CLASSES)
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


def space() -> SearchSpace:
    blocks: dict[str, dict[str, list[Option]]] = {
        kind: {name: [value] for name, value in options.items()} for kind, options in KINDS.items()
    }
    return SearchSpace(
        name="study", backbones=[BACKBONE], resolutions=[SIDE], total_stride=STRIDE, blocks=blocks
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
            judged = evaluate(run.trained, data, Classification(CLASSES), device=CPU)
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
    score = evaluate(run.trained, data, Classification(CLASSES), device=CPU)
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
    for low, high in ((1, 3), (4, 5), (6, 7)):
        found[f"{low}-{high} blocks"] = ((count >= low) & (count <= high)).astype(float)
    return found


def with_derived(made: dict[str, Table]) -> dict[str, Table]:
    """And the number of blocks, means of ranks, and the order by accuracy instead of by loss."""
    listed = list(networks().values())
    counted = {
        "number of blocks": [len(network.blocks) for network in listed],
    }
    found = dict(made)
    for name, values in counted.items():
        column = -np.array(values, dtype=float)[:, None]
        found[name] = Table(column, np.full_like(column, np.nan), 0.0)
    for parts in TOGETHER:
        if all(name in found for name in parts):
            ranks = np.sum([_ranks(found[name]) for name in parts], axis=0)
            seconds = sum(found[name].seconds for name in parts)
            found[" + ".join(parts)] = Table(ranks, np.full_like(ranks, np.nan), seconds)
    for name in [name for name in made if name in BY_ACCURACY]:
        table = made[name]
        found[f"{name}, by accuracy"] = replace(table, loss=-table.accuracy)
    return found


def _ranks(table: Table) -> np.ndarray:
    """Of the mean over seeds, (n, 1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(table.loss, axis=1)
    return np.where(np.isnan(means), np.nan, rankdata(means))[:, None]


@dataclass(frozen=True)
class Finding:
    """How a method agrees with full training, and what it costs of one."""

    method: str
    share: float
    networks: int
    agreement: Agreement
    bias: dict[str, Bias]


def findings(made: dict[str, Table], quality: np.ndarray) -> list[Finding]:
    """quality: (networks, seeds) of full training."""
    whole = ~np.isnan(quality).all(axis=1)
    found = []
    for method, table in with_derived(made).items():
        rows = whole & ~np.isnan(table.loss).all(axis=1)
        if method == REFERENCE or rows.sum() < 8:
            continue
        groups = {name: share[rows] for name, share in shares().items()}
        found.append(
            Finding(
                method,
                table.seconds / made[REFERENCE].seconds,
                int(rows.sum()),
                agreement(-table.loss[rows], quality[rows]),
                bias(-table.loss[rows], quality[rows], groups),
            )
        )
    return found


def report(arguments: argparse.Namespace) -> None:
    made = tables(arguments.rows)
    full = made[REFERENCE]
    truth = full.accuracy
    print(
        f"{int((~np.isnan(truth)).any(axis=1).sum())} networks, {truth.shape[1]} seeds of the "
        f"reference, {full.seconds:.0f} s each; accuracy {np.nanmean(truth):.1%}, between networks "
        f"±{np.nanmean(truth, axis=1).std():.2%}, between seeds ±{paired_noise(truth):.2%}; loss "
        f"{np.nanmean(full.loss):.4f}, ±{np.nanmean(full.loss, axis=1).std():.4f}, "
        f"±{paired_noise(full.loss):.4f}"
    )
    for quality, reference in (("accuracy", truth), ("loss", -full.loss)):
        print(f"\nAgainst {quality} of full training:")
        for item in findings(made, reference):
            found = item.agreement
            print(
                f"{item.method:26} {item.share:6.1%} of the cost, {item.networks} networks: "
                f"Spearman {found.spearman} of {found.ceiling:.2f}, Kendall {found.kendall}, "
                f"best quarter {found.best_kendall} of {found.best_ceiling:.2f}"
            )
            print("    bias " + ", ".join(f"{name} {it.error}" for name, it in item.bias.items()))
    if arguments.picture:
        draw(made, arguments.picture)


def draw(made: dict[str, Table], path: Path) -> None:
    """Rank correlations of all methods, and the default proxy beside the reference."""
    full = made[REFERENCE]
    found = sorted(findings(made, -full.loss), key=lambda item: item.agreement.spearman.value)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, max(5.5, 0.19 * len(found))), width_ratios=(1.3, 1)
    )
    places = np.arange(len(found))
    values = np.array([item.agreement.spearman.value for item in found])
    low = np.array([item.agreement.spearman.low for item in found])
    high = np.array([item.agreement.spearman.high for item in found])
    left.errorbar(values, places, xerr=[values - low, high - values], fmt="o", color="#276d9b")
    left.set_yticks(places, [f"{item.method} ({item.share:.1%})" for item in found])
    ceiling = found[0].agreement.ceiling
    left.axvline(ceiling, color="0.5", linestyle="--")
    left.text(ceiling, -0.2, "ceiling ", ha="right", color="0.4")
    left.axvline(0, color="0.8", zorder=0)
    left.set_xlabel("rank correlation with full training, 95 % interval")
    left.set_title("cheap stand-ins, with their cost in full trainings", loc="left")
    kinds = [
        kinds.pop() if len(kinds := {item.block for item in network.blocks}) == 1 else "several"
        for network in networks().values()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        x, y = np.nanmean(made[SHOWN].loss, axis=1), np.nanmean(full.loss, axis=1)
    shapes = {"se": "o", "cbam": "s", "eca": "^", "coord": "D", "several": "x"}
    plain = list(networks()).index("plain")
    for kind, shape in shapes.items():
        rows = [row for row, of in enumerate(kinds) if of == kind and row != plain]
        right.plot(x[rows], y[rows], shape, label=kind)
    right.plot(x[plain], y[plain], "k*", markersize=12, label="plain")
    right.set_xlabel(f"validation loss: {SHOWN}")
    right.set_ylabel("validation loss of full training")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


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
    reporting.add_argument("--picture", type=Path)
    reporting.set_defaults(run=report)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
