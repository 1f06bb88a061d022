"""When does a search stop by itself, and what would it still have found?

    python -m benchmarks.search.patience TABLE --cost COLUMN [--quality COLUMN] [--seeds 10]

TABLE: as for samplers.py, with several seeds of each network, such as NAS-Bench-Macro. The
sampler knows the noise of one seed, as a search knows it from its repeats. Printed for each
patience: after how many evaluations so many proposals in a row promised less than luck (median,
and its range), and the share of the true front's hypervolume there and at the end.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

from benchmarks.search.peers import OfOptuna, our_sampler
from benchmarks.search.sampler_runs import Run
from benchmarks.search.table import Table
from benchmarks.search.table_files import name_table, named_table
from benchmarks.shared.report import print_machine, print_table
from nas.base.seeds import derive
from nas.strategy.samplers.pareto import PROMISE

PATIENCE = (5, 10, 20, 40)
SAMPLED = 1000  # networks that the noise is taken from


def noise(table: Table) -> float:
    """Standard deviation of a network's loss between seeds, of those better than the median."""
    codes = np.random.default_rng(0).integers(0, table.sizes, (SAMPLED, len(table.sizes)))
    losses = table.losses(codes)
    good = losses.mean(axis=1) <= table.usual_loss
    return float(np.sqrt(losses[good].var(axis=1, ddof=1).mean()))


def run(table: Table, seed: int, evaluations: int) -> tuple[list[bool], list[float]]:
    """After each evaluation: whether its proposal promised less than luck; the share."""
    sampler = our_sampler(table, derive(seed, "search", "pareto") % 2**31)
    sampler.noise[0] = noise(table)
    searcher = OfOptuna(table, sampler)
    search = Run(table, searcher, seed)
    shares = [table.shares(search.front())[0] for _ in search.search(evaluations)]
    promises = [trial.system_attrs.get(PROMISE) for trial in searcher.study.get_trials()]
    futile = [promise is not None and promise[0] < promise[1] for promise in promises]
    return futile[:evaluations], shares


def stopped_after(futile: list[bool], patience: int) -> int:
    """Evaluations until so many in a row were futile; all of them where that never came."""
    row = 0
    for number, one in enumerate(futile):
        row = row + 1 if one else 0
        if row == patience:
            return number + 1
    return len(futile)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    name_table(parser)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=400)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    table = named_table(parser, given)
    if table.seeds < 2:
        parser.error(f"{given.table} has one seed of each network: no noise to stop by")
    runs = []
    for seed in range(given.seeds):
        runs.append(run(table, seed, given.evaluations))
        print(f"{seed + 1}/{given.seeds}", end="\r", file=sys.stderr, flush=True)
    print_machine("attention-nas", "optuna")
    lines = []
    for patience in PATIENCE:
        counts = np.array([stopped_after(futile, patience) for futile, _ in runs])
        there = np.mean([shares[n - 1] for n, (_, shares) in zip(counts, runs, strict=True)])
        last = np.mean([shares[-1] for _, shares in runs])
        span = f"{np.median(counts):.0f} ({counts.min()}-{counts.max()})"
        lines.append([str(patience), span, f"{there:.3f}", f"{last:.3f}"])
    print_table(("patience", "stopped after", "share there", f"after {given.evaluations}"), lines)


if __name__ == "__main__":
    main()
