"""What full training gives: the truth that every shorter training is judged by.

    python -m benchmarks.fidelity.truth run DATA --landscape L1 --work DIR [--part 0 --of 1]
    python -m benchmarks.fidelity.truth table [--landscape L1]

DATA: `folder:PATH` of CIFAR-10; its test part is not opened. WORK: a folder for trainings that
are under way. Rows are in `benchmarks/fidelity/truth-l1.jsonl`, each with its curve: the mean
training loss of every epoch. What is stopped goes on, and repeats nothing; a row whose recipe,
images or network have changed since is refused. The rules of judging are in RULES.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape, TruthRow
from benchmarks.fidelity.trainings import (
    Images,
    Job,
    append,
    check_unchanged,
    finish,
    rows_of,
)
from benchmarks.shared.command import carry_out

FOLDER = Path(__file__).parent
KEYS = ("network", "repeat", "epochs")


def rows_file(landscape: Landscape) -> Path:
    """Return where the rows of a landscape are."""
    return FOLDER / f"truth-{landscape.name.lower()}.jsonl"


def job_of(landscape: Landscape, row: TruthRow) -> Job:
    """Return the training that a row of the truth is made by."""
    return Job(
        {"landscape": landscape.name, "repeat": row.repeat},
        row.network,
        landscape.seed(row.network, row.repeat),
        row.epochs,
    )


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    landscape = LANDSCAPES[arguments.landscape]
    images = Images(arguments.data, landscape)
    path = rows_file(landscape)
    arguments.work.mkdir(parents=True, exist_ok=True)
    checked: set[str] = set()
    for row in rows_of(path):
        if row["network"] not in checked:
            wanted = TruthRow(row["network"], row["repeat"], row["epochs"])
            check_unchanged(landscape, images, row, job_of(landscape, wanted))
            checked.add(row["network"])
    for wanted in _missing(landscape, arguments.part, arguments.of):
        begun = time.process_time()
        row = finish(landscape, images, job_of(landscape, wanted), arguments.work)
        append(path, row)
        print(
            f"{wanted.network}, repeat {wanted.repeat}, {wanted.epochs} epochs: "
            f"{row['loss']:.4f}, {row['accuracy']:.1%}, {time.process_time() - begun:.0f} s",
            flush=True,
        )


def _missing(landscape: Landscape, part: int, of: int) -> Iterator[TruthRow]:
    for number, wanted in enumerate(landscape.truth()):
        done = {tuple(row[key] for key in KEYS) for row in rows_of(rows_file(landscape))}
        key = (wanted.network, wanted.repeat, wanted.epochs)
        if number % of == part and key not in done:
            yield wanted


def table(arguments: argparse.Namespace) -> None:
    for landscape in LANDSCAPES.values():
        if arguments.landscape in (None, landscape.name):
            _print_table(landscape)


def _print_table(landscape: Landscape) -> None:
    rows = rows_of(rows_file(landscape))
    wanted = len(list(landscape.truth()))
    print(f"\n**{landscape.name}**: {landscape.backbone} at {landscape.resolution} px, ", end="")
    print(f"{len(rows)} of {wanted} trainings\n")
    lengths = sorted({row["epochs"] for row in rows})
    print("| network | " + " | ".join(f"{length} epochs: loss / %" for length in lengths) + " |")
    print("| --- |" + " --- |" * len(lengths))
    for network in landscape.networks:
        cells = []
        for length in lengths:
            found = [r for r in rows if r["network"] == network and r["epochs"] == length]
            losses = " ".join(f"{row['loss']:.3f}" for row in found)
            cells.append(
                f"{losses} / {100 * fmean(row['accuracy'] for row in found):.1f}" if found else ""
            )
        print(f"| {network} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("data")
    running.add_argument("--landscape", choices=tuple(LANDSCAPES), required=True)
    running.add_argument("--work", type=Path, required=True)
    running.add_argument("--part", type=int, default=0)
    running.add_argument("--of", type=int, default=1)
    running.set_defaults(run=run)
    printing = commands.add_parser("table")
    printing.add_argument("--landscape", choices=tuple(LANDSCAPES))
    printing.set_defaults(run=table)
    carry_out(parser)


if __name__ == "__main__":
    main()
