"""Ours, the rival's and the plain network on L1, by fresh seeds that all of them share.

    python -m benchmarks.fidelity.fresh run DATA --work DIR
    python -m benchmarks.fidelity.fresh table

DATA: `folder:PATH` of CIFAR-10; its test part is not opened. WORK: a folder for trainings that are
under way. Each is trained fully, as the truth is, with eight seeds that nothing has used before.
A seed gives all networks the same batches, so that they are compared seed by seed: means of
differences with intervals of 90 % (Student), and p values for all comparisons together (Holm).
Rows are in `fresh-l1.jsonl`. What is stopped goes on, and repeats nothing; one seed of all networks
comes before the next. Which networks, and how they are judged, stands in RULES.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from scipy.stats import ttest_1samp

from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape
from benchmarks.fidelity.trainings import Images, Job, append, check_unchanged, finish, rows_of
from benchmarks.shared.command import carry_out
from benchmarks.shared.report import print_machine, print_table
from benchmarks.shared.significance import holm
from nas import open_run
from nas.base.seeds import derive
from nas.spec.architecture import Architecture

FOLDER = Path(__file__).parent
ROWS, RIVAL = FOLDER / "fresh-l1.jsonl", FOLDER / "ean-l1.jsonl"
SEARCHED = FOLDER.parents[1] / "results/mobilenetv2-cifar/cifar10-scratch/epyc-onnxruntime"
SEEDS = 8
PLAIN, EVERYWHERE, SEARCH = "plain", "coord everywhere", "searched"


@dataclass(frozen=True)
class Chosen(Landscape):
    """A landscape with networks of its own choice."""

    placed: Mapping[str, Architecture] = field(default_factory=dict)

    @cached_property
    def networks(self) -> Mapping[str, Architecture]:
        return self.placed


@dataclass(frozen=True)
class Difference:
    """What one network has less of loss, and more of points, than another: by each seed."""

    network: str
    other: str
    losses: list[float]
    points: list[float]

    @property
    def p_value(self) -> float:
        """Of equal losses, by itself; NaN for fewer than two seeds."""
        if len(self.losses) < 2:
            return math.nan
        return float(ttest_1samp(self.losses, 0.0).pvalue)

    @property
    def cells(self) -> list[str]:
        """What a table says of it."""
        beside = f"{self.network} beside {self.other}"
        return [beside, str(len(self.losses)), *_interval(self.losses), *_interval(self.points)]


def _interval(differences: list[float]) -> tuple[str, str]:
    if len(differences) < 2:
        return "", ""
    low, high = ttest_1samp(differences, 0.0).confidence_interval(0.9)
    return f"{fmean(differences):+.3f}", f"{low:+.3f} to {high:+.3f}"


def chosen() -> Chosen:
    """Return L1 with the networks to compare, each once."""
    known = LANDSCAPES["L1"]
    front = open_run(SEARCHED).front()
    searched = [point for point in front if point.on_front and point.reference is None]
    best = max(searched, key=lambda point: point.believed.gain)
    placed = {
        PLAIN: known.networks[PLAIN],
        EVERYWHERE: known.networks[EVERYWHERE],
        SEARCH: best.architecture,
    }
    proposals = [row for row in rows_of(RIVAL) if "proposal" in row]
    for row in sorted(proposals, key=lambda row: (row["kind"], row["proposal"] != "most probable")):
        network = Architecture.from_json(json.dumps(row["architecture"]))
        if network not in placed.values():
            placed[f"rival's {row['kind']}, {row['proposal']}"] = network
    given = {each.name: getattr(known, each.name) for each in fields(known)}
    return Chosen(**given, placed=placed)


def jobs(landscape: Chosen) -> Iterator[Job]:
    """Give the trainings in their order."""
    for number, network in product(range(SEEDS), landscape.networks):
        seed = derive(0, "fidelity fresh", landscape.name, number) % 2**31
        key = {"landscape": landscape.name, "repeat": number}
        yield Job(key, network, seed, float(landscape.lengths[-1]))


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    landscape = chosen()
    images = Images(arguments.data, landscape)
    arguments.work.mkdir(parents=True, exist_ok=True)
    there = rows_of(ROWS)
    for job in jobs(landscape):
        mine = [row for row in there if row["network"] == job.network]
        if job.key["repeat"] == 0 and mine:
            check_unchanged(landscape, images, mine[0], job)
        if job.key["repeat"] not in {row["repeat"] for row in mine}:
            row = finish(landscape, images, job, arguments.work)
            append(ROWS, row)
            print(f"{job.network}, seed {job.key['repeat']}: {row['loss']:.4f}", flush=True)


def table(_arguments: argparse.Namespace) -> None:
    rows = rows_of(ROWS)
    names = list(dict.fromkeys(row["network"] for row in rows))
    print_machine("torch")
    print_table(["network", "seeds", "loss", "+-", "accuracy %", "+-"], list(_means(rows, names)))
    print()
    found = [Difference(*pair, *_differences(rows, *pair)) for pair in _comparisons(names)]
    together = holm([each.p_value for each in found])
    headings = ["network", "seeds", "loss less", "90 %", "points more", "90 %", "p of the loss"]
    print_table(
        headings, [[*each.cells, f"{p:.3f}"] for each, p in zip(found, together, strict=True)]
    )


def _means(rows: list[dict[str, Any]], names: list[str]) -> Iterator[list[str]]:
    for name in names:
        mine = [row for row in rows if row["network"] == name]
        losses = [row["loss"] for row in mine]
        shares = [100 * row["accuracy"] for row in mine]
        of_loss, of_share = (
            (f"{stdev(losses):.4f}", f"{stdev(shares):.2f}") if len(mine) > 1 else ("", "")
        )
        loss, share = f"{fmean(losses):.4f}", f"{fmean(shares):.2f}"
        yield [name, str(len(mine)), loss, of_loss, share, of_share]


def _comparisons(names: list[str]) -> list[tuple[str, str]]:
    """Return ours beside the rival's, and all of them beside the plain network."""
    ours = [name for name in (EVERYWHERE, SEARCH) if name in names]
    rivals = [name for name in names if name not in (PLAIN, *ours)]
    return [*product(ours, rivals), *((name, PLAIN) for name in (*ours, *rivals))]


def _differences(
    rows: list[dict[str, Any]], one: str, other: str
) -> tuple[list[float], list[float]]:
    """Return what the one has less of loss, and more of points, by each seed of both."""
    by_seed = {(row["network"], row["repeat"]): row for row in rows}
    both = [
        (by_seed[one, number], by_seed[other, number])
        for number in range(SEEDS)
        if (one, number) in by_seed and (other, number) in by_seed
    ]
    return (
        [beside["loss"] - mine["loss"] for mine, beside in both],
        [100 * (mine["accuracy"] - beside["accuracy"]) for mine, beside in both],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("data")
    running.add_argument("--work", type=Path, required=True)
    running.set_defaults(run=run)
    commands.add_parser("table").set_defaults(run=table)
    carry_out(parser)


if __name__ == "__main__":
    main()
