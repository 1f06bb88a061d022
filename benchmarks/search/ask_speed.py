"""How long the pareto sampler takes to propose a network, one core, CPU time.

    python -m benchmarks.search.ask_speed [--trials 300 2000] [--sites 17] [--pool 100000]

Seventeen sites with twelve choices each, a known latency and two more free figures, as MobileNetV2
has them. `fitted`: the ask that fits hyperparameters anew, which every tenth part of further trials
brings; `next`: the one after it. Medians of three.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch

from nas.belief.grid import Codes, Floats, Grid
from nas.strategy.samplers.pareto.acquisition import Acquisition
from nas.strategy.samplers.pareto.knowledge import Knowledge, Observations

BLOCKS = ("se", "cbam", "coord")
LABELS = (
    "none",
    "eca",
    "eca/k5",
    *(f"{name}/r{ratio}" for name in BLOCKS for ratio in (8, 16, 32)),
)


def measured(trials: int, sites: int, pool: int, seed: int) -> tuple[float, float]:
    """Seconds of CPU time of the ask with a fit, and of the next."""
    rng = np.random.default_rng(seed)
    grid = Grid({f"blocks.{number}": LABELS for number in range(sites)})
    added = rng.gamma(2, 0.1, (3, sites, len(LABELS)))
    worth = rng.normal(0, 1, (sites, len(LABELS)))

    def figure(table: Floats, codes: Codes) -> Floats:
        return np.asarray(1 + table[np.arange(sites), codes].sum(axis=1))

    def feature(number: int) -> object:
        return lambda columns: figure(added[number], np.stack(list(columns.values()), axis=1))

    knowledge = Knowledge({1: feature(0)}, (feature(1), feature(2)))  # type: ignore[dict-item, arg-type]
    codes = grid.random(trials + 1, rng)
    loss = figure(worth, codes) + rng.normal(0, 0.3, trials + 1)
    costs = np.stack([loss, figure(added[0], codes)], axis=1)
    acquisition = Acquisition(grid, knowledge, pool=pool, start=12)
    seconds = []
    for count in (trials, trials + 1):
        begun = time.process_time()
        acquisition.suggest(
            Observations(codes[:count], costs[:count], np.zeros(count, dtype=np.bool_)), count
        )
        seconds.append(time.process_time() - begun)
    return seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[300, 2000])
    parser.add_argument("--sites", type=int, default=17)
    parser.add_argument("--pool", type=int, default=100_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for trials in arguments.trials:
        found = [measured(trials, arguments.sites, arguments.pool, seed) for seed in range(3)]
        fitted, after = (median(column) for column in zip(*found, strict=True))
        print(f"{trials} trials: {fitted:.2f} s fitted, {after:.2f} s next")


if __name__ == "__main__":
    main()
