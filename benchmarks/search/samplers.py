"""How well samplers find the front of accuracy and cost, on tables where it is known.

    python -m benchmarks.search.samplers run TABLE ... [--samplers NAME ...] [--jobs 2]
    python -m benchmarks.search.samplers report [--picture docs/search-tables.png]

TABLE: a CSV file (table_files.py says of what kinds); every pair of its accuracies and costs is one
task, or those of --quality and --cost. A run is one sampler with one seed: networks are asked for
and their loss and cost told, one after the other, or by several workers on a clock that is
simulated (an evaluation takes a lognormal time, sigma 0.3, and evaluations count in the order in
which they end). After 10, 25, 50, ... of them stands what the front of the networks seen so far is
worth: the hypervolume of their true values, as a share of the true front's. Where a table has
several seeds, one is observed and the networks are chosen by what was observed, but valued by the
mean. Three reference points: the nadir of the true front moved out by a tenth of its range; the
worst of the table (far); the first with the loss that half of the table's networks reach (top).

A network that is known already is not evaluated again: the sampler is told its values at no cost
and asked again, after 200 times in a row a network is drawn at random. Asking is timed in seconds
of CPU on one thread.

Rows are appended to a file as runs end (--rows), so an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.search.peers import PACKAGES, PEERS, installed
from benchmarks.search.sampler_pictures import draw_curves, draw_workers
from benchmarks.search.sampler_report import (
    PAIR,
    SHARES,
    SHOWN,
    best_of_families,
    print_differences,
    print_shares,
    print_workers,
    read_rows,
    title,
)
from benchmarks.search.sampler_runs import ROWS, run
from benchmarks.shared.report import print_machine
from nas.base.errors import NasError, SpecError


def report(given: argparse.Namespace) -> None:
    rows = read_rows(given.rows, given.evaluations)
    names = [name for name in PEERS if name in set(rows["sampler"])]
    print_machine("attention-nas", "optuna", *PACKAGES.values())
    fewest = min(rows["workers"])
    alone = rows[rows["workers"] == fewest]
    several = rows.groupby(PAIR)["workers"].transform("nunique") > 1
    for label, mine in alone.groupby(PAIR, sort=False):
        print(f"\n{title(label)}: share of the true front's hypervolume\n")
        print_shares(mine, names, given.evaluations, given.reference)
        if given.against in set(mine["sampler"]):
            print(f"\nminus {given.against}, same seeds; p by Wilcoxon, corrected by Holm\n")
            print_differences(mine, names, given.evaluations, given.against, given.reference)
    if several.any():
        print_workers(rows[several], names, given.evaluations, given.reference)
    if given.picture is not None:
        chosen = best_of_families(alone, names, given.reference)
        draw_curves(alone, chosen, given.reference, given.picture)
        if several.any():
            path = given.picture.with_stem(given.picture.stem + "-workers")
            draw_workers(rows[several], chosen, given.evaluations, given.reference, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="search, and append rows")
    command.add_argument("tables", type=Path, nargs="+", metavar="TABLE")
    command.add_argument("--rows", type=Path, default=ROWS)
    command.add_argument(
        "--samplers",
        nargs="+",
        default=[name for name in PEERS if installed(name)],
        metavar="NAME",
        help=f"all that are installed, of {', '.join(PEERS)}",
    )
    command.add_argument("--quality", nargs="+", metavar="COLUMN")
    command.add_argument("--cost", nargs="+", metavar="COLUMN")
    command.add_argument("--seeds", type=seeds, default=range(20), help="20, or 20-39")
    command.add_argument("--evaluations", type=int, default=400)
    command.add_argument("--workers", type=int, nargs="+", default=[1])
    command.add_argument("--jobs", type=int, default=1, help="processes")
    command.add_argument("--cache", type=Path, help="folder for the fronts of surrogates")
    command.set_defaults(command=run)
    command = commands.add_parser("report", help="print what the rows say, and draw it")
    command.add_argument("--rows", type=Path, default=ROWS)
    command.add_argument("--evaluations", type=int, nargs="+", default=list(SHOWN))
    command.add_argument("--against", default="pareto", metavar="NAME")
    command.add_argument("--reference", choices=SHARES, default=SHARES[0])
    command.add_argument("--picture", type=Path, help="curves, and beside it those of workers")
    command.set_defaults(command=report)
    given = parser.parse_args()
    # Processes that are started read it before they import numpy or torch.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        given.command(given)
    except SpecError as error:
        parser.error(str(error))
    except NasError as error:
        sys.exit(str(error))


def seeds(text: str) -> range:
    first, _, last = text.rpartition("-")
    return range(int(first), int(last) + 1) if first else range(int(last))


if __name__ == "__main__":
    main()
