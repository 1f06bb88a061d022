"""One seed for all networks, a few that take turns, or each network its own?

    python -m benchmarks.belief.seeds [--worlds 100] [--networks 60]

The worlds are those of `benchmarks/claims`; a training's deviation is as large as the spread of the
truth, and half of its variance is what its seed does: a part to all networks alike, and a part to
those that hold the same block at the same site, as was seen in trainings (differences between two
seeds were predicted by blocks and sites with R2 .2 to .74). Each way trains the same networks once,
the hand-placed ones and a balanced design, and the plain one with eight seeds.

Printed: rank correlation of the believed gains of 500 other networks with the truth; regret of
the network that is believed to be best of them; share of truths within the 90 % interval; and in
how many worlds the belief says with 95 % that this one beats plain, and is wrong. Units: the
spread of the truth. Means with standard errors over worlds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from benchmarks.belief.search import FAMILIES, FULL, Task
from benchmarks.claims.worlds import UNIT, Trainer, World, make_world
from benchmarks.shared.report import print_machine, print_table
from nas.belief.belief import Belief
from nas.belief.evidence import Evidence
from nas.belief.grid import Floats
from nas.strategy.samplers.pareto.free_figures import known_points

WAYS = {"one seed": 1, "four in turn": 4, "eight in turn": 8, "each its own": 0}
OTHERS, PLAIN = 500, 8
COMMON, ALIKE = (0.1, 0.3), (0.2, 0.7)
"""Of a training's variance: what its seed does to all networks alike; of the rest, what it does to
networks that share blocks at sites."""


def measured(world: World, seeds: int, networks: int, number: int) -> list[float]:
    """Return the figures of one world, trained in one way. seeds: 0 for one to each network."""
    rng = np.random.default_rng([number, 1])
    task = Task(world, networks, number)
    codes = np.concatenate([task.placed, task.design[: networks - len(task.placed)]])
    rows = np.append(np.arange(len(codes)), np.zeros(PLAIN - 1, dtype=np.int64))
    turn = np.arange(len(rows))
    if seeds:
        turn = rng.permutation(turn) % seeds
    loss = -world.gain(codes[rows]) + Trainer(world, rng).errors(codes[rows], turn)
    evidence = Evidence(
        codes[rows],
        ["full"] * len(rows),
        np.full(len(rows), FULL),
        turn,
        np.arange(len(rows)),
        loss,
        np.full(len(rows), np.nan),
    )
    space = known_points(task.grid, task.knowledge, task.grid.random(1000, rng))
    belief = Belief.fit(space, evidence, target_images=FULL)
    new = world.random(OTHERS, np.random.default_rng([number, 2]))
    gain, truth = belief.gain(new), world.gain(new)
    best = int(gain.mean.argmax())
    within = np.abs(gain.mean - truth) < 1.645 * gain.deviation
    sure = gain.mean[best] > 1.645 * gain.deviation[best]
    return [
        float(spearmanr(gain.mean, truth)[0]),
        float(truth.max() - truth[best]) / UNIT,
        float(within.mean()),
        float(sure and truth[best] <= 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--networks", type=int, default=60)
    options = parser.parse_args()
    figures: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for number in range(options.worlds):
        rng = np.random.default_rng([number, 0])
        common, alike = rng.uniform(*COMMON), rng.uniform(*ALIKE)
        world = replace(
            make_world(rng, FAMILIES[number % len(FAMILIES)]),
            noise=UNIT * float(np.sqrt(1 - common)),
            seed_effect=UNIT * float(np.sqrt(common)),
            alike=alike,
            exact_plain=False,
        )
        for way, seeds in WAYS.items():
            figures[way].append(measured(world, seeds, options.networks, number))
    print_machine("numpy", "scipy")
    heads = ["way", "rank correlation", "regret", "within 90 %", "false and sure"]
    print_table(heads, [[way, *_with_errors(np.array(rows))] for way, rows in figures.items()])


def _with_errors(rows: Floats) -> list[str]:
    errors = rows.std(axis=0) / np.sqrt(len(rows))
    return [
        f"{mean:.3f} +- {error:.3f}" for mean, error in zip(rows.mean(axis=0), errors, strict=True)
    ]


if __name__ == "__main__":
    main()
