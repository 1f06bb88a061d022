"""What a search finds with the belief, and what with a mean for each network, in simulated worlds.

    python -m benchmarks.belief.search [--worlds 40] [--trainings 60] [--first 0]

The worlds are those of `benchmarks/claims`, harder than any additive model; a training's noise is
as large as the spread of the truth. Each way has the same number of trainings:

means: one training for each network that the model of one value a network proposes, then three
    seeds for the hand-placed ones and the front; the best raw mean is taken. It is how searches
    went.
belief: half a balanced design, then rounds by the belief from all trainings; the best by it.
confirmed: the same with three fifths of the trainings; the others are further seeds of the plain
    network, the hand-placed ones and the front, three each, told to the same belief.
plain: as belief, but the plain network has the square root of all trainings.
design: the balanced design alone, judged by the belief.

Printed: the true gain of the network that is chosen, at no more latency than the best hand-placed
network's, over that network; its regret against the best such network; and the share of the true
front's hypervolume that the chosen front has. Units: the spread of the truth. Means with standard
errors over worlds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.claims.worlds import UNIT, World, make_world
from nas.belief.belief import Belief
from nas.belief.evidence import Evidence
from nas.belief.grid import Codes, Floats, Grid
from nas.belief.terms import Place
from nas.strategy.samplers.pareto.acquisition import Acquisition
from nas.strategy.samplers.pareto.design import balanced_design
from nas.strategy.samplers.pareto.free_figures import known_points
from nas.strategy.samplers.pareto.knowledge import Knowledge, Observations, TargetedEvidence
from nas.study.front.indicators import hypervolume
from nas.study.front.pareto import non_dominated

FULL = 1e6
FAMILIES = ("additive", "saturated", "interacting", "heavy", "rugged")
POOL = 3000


@dataclass
class Trainings:
    """The trainings of one search, as they come."""

    world: World
    rng: np.random.Generator
    codes: list[Codes] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def train(self, row: Codes) -> None:
        noise = self.world.noise * self.rng.standard_normal()
        self.codes.append(row)
        self.losses.append(float(-self.world.gain(row[None])[0] + noise))

    def evidence(self) -> Evidence:
        count = len(self.codes)
        return Evidence(
            np.array(self.codes),
            ["full"] * count,
            np.full(count, FULL),
            np.arange(count),
            np.arange(count),
            np.array(self.losses),
            np.full(count, np.nan),
        )


class Task:
    """One world as a search sees it: a grid, what is known of it, and the hand-placed networks."""

    def __init__(self, world: World, trainings: int, seed: int) -> None:
        self.world, self.seed = world, seed
        labels = ("none", *(f"kind{number}" for number in range(1, world.kinds + 1)))
        self.grid = Grid({f"site {number}": labels for number in range(world.sites)})
        last = max(1, world.sites - 1)
        self.places = {
            name: Place(f"stage {number // 3}", number / last, 1)
            for number, name in enumerate(self.grid.parameters)
        }
        self.placed = world.placed()[0]
        self.knowledge = Knowledge(
            objectives={
                1: lambda columns: world.latency_ms(np.stack(list(columns.values()), axis=1))
            },
            places=self.places,
            reference=np.zeros(world.sites, dtype=np.int64),
        )
        self.design = balanced_design(
            self.grid, self.places, trainings, cost=world.latency_ms, seed=seed
        )

    def acquisition(self, knowledge: Knowledge, start: int) -> Acquisition:
        return Acquisition(self.grid, knowledge, pool=POOL, start=start)

    def belief(self, done: Trainings) -> Belief:
        rng = np.random.default_rng(self.seed)
        space = known_points(self.grid, self.knowledge, self.grid.random(1000, rng))
        return Belief.fit(space, done.evidence(), target_images=FULL)


def by_belief(task: Task, done: Trainings, trainings: int) -> tuple[Codes, Floats]:
    _search(task, done, trainings)
    return _believed(task, done)


def by_confirmed(task: Task, done: Trainings, trainings: int) -> tuple[Codes, Floats]:
    _search(task, done, round(0.6 * trainings))
    while len(done.codes) < trainings:
        codes, gain = _believed(task, done)
        front = non_dominated(np.stack([-gain, task.world.latency_ms(codes)], axis=1))
        placed = (codes[:, None] == task.placed).all(axis=2).any(axis=1)
        counts = np.array([(np.array(done.codes) == row).all(axis=1).sum() for row in codes])
        wanted = np.flatnonzero((front | placed) & (counts < 3))
        if not len(wanted):
            break
        done.train(codes[int(wanted[np.argmin(counts[wanted])])])
    return _believed(task, done)


def by_plain(task: Task, done: Trainings, trainings: int) -> tuple[Codes, Floats]:
    again = math.isqrt(trainings) - 1
    for _ in range(again):
        done.train(0 * task.placed[0])
    _search(task, done, trainings)
    return _believed(task, done)


def _believed(task: Task, done: Trainings) -> tuple[Codes, Floats]:
    codes = np.unique(np.array(done.codes), axis=0)
    return codes, task.belief(done).gain(codes).mean


def _search(task: Task, done: Trainings, trainings: int) -> None:
    """Train the hand-placed networks, a design, then what the belief proposes."""
    knowledge = replace(task.knowledge, design=task.design[: trainings // 2 - len(task.placed)])
    acquisition = task.acquisition(knowledge, trainings // 2)
    for row in task.placed:
        done.train(row)
    while len(done.codes) < trainings:
        codes = np.array(done.codes)
        costs = np.stack([done.losses, task.world.latency_ms(codes)], axis=1)
        evidence = {0: TargetedEvidence(done.evidence(), FULL)}
        failed = np.zeros(len(codes), dtype=np.bool_)
        observed = Observations(codes, costs, failed, evidence=evidence)
        found = acquisition.suggest(observed, task.seed + len(codes))
        if found is None:
            break
        done.train(found.codes)


def by_design(task: Task, done: Trainings, trainings: int) -> tuple[Codes, Floats]:
    for row in [*task.placed, *task.design[: trainings - len(task.placed)]]:
        done.train(row)
    return _believed(task, done)


def by_means(task: Task, done: Trainings, trainings: int) -> tuple[Codes, Floats]:
    knowledge = replace(task.knowledge, places=None, reference=None)
    acquisition = task.acquisition(knowledge, len(task.placed) + 8)
    for row in task.placed:
        done.train(row)
    while len(done.codes) < round(0.6 * trainings):
        codes = np.array(done.codes)
        costs = np.stack([done.losses, task.world.latency_ms(codes)], axis=1)
        observed = Observations(codes, costs, np.zeros(len(codes), dtype=np.bool_))
        found = acquisition.suggest(observed, task.seed + len(codes))
        if found is None:
            break
        done.train(found.codes)
    while len(done.codes) < trainings:
        codes, means, counts = _means(done)
        front = non_dominated(np.stack([means, task.world.latency_ms(codes)], axis=1))
        placed = (codes[:, None] == task.placed).all(axis=2).any(axis=1)
        wanted = (front | placed) & (counts < 3)
        if not wanted.any():
            break
        done.train(codes[int(np.flatnonzero(wanted)[0])])
    codes, means, counts = _means(done)
    confirmed = counts >= counts[1:].max(initial=1) if (counts >= 3).sum() < 2 else counts >= 3
    return codes[confirmed], -means[confirmed]


def _means(done: Trainings) -> tuple[Codes, Floats, Codes]:
    codes, which = np.unique(np.array(done.codes), axis=0, return_inverse=True)
    counts = np.bincount(which.ravel())
    return codes, np.bincount(which.ravel(), done.losses) / counts, counts


WAYS: dict[str, Callable[[Task, Trainings, int], tuple[Codes, Floats]]] = {
    "means": by_means,
    "design": by_design,
    "belief": by_belief,
    "confirmed": by_confirmed,
    "plain": by_plain,
}


def best_known(world: World, limit: float, rng: np.random.Generator) -> tuple[Codes, Floats]:
    """Return many good networks by the truth: random ones and what climbs from them."""
    labels = ("none", *(f"kind{number}" for number in range(1, world.kinds + 1)))
    grid = Grid({f"site {number}": labels for number in range(world.sites)})
    codes = world.random(4000, rng)
    for _ in range(12):
        near = grid.mutate(np.repeat(codes[:400], 10, axis=0), np.array([2]), rng)
        codes = np.unique(np.concatenate([codes, near]), axis=0)
        gain, latency = world.gain(codes), world.latency_ms(codes)
        order = np.argsort(-gain + 1e3 * (latency > limit), kind="stable")[:300]
        front = non_dominated(np.stack([-gain, latency], axis=1))
        codes = np.concatenate([codes[order], codes[front]])
    return codes, world.gain(codes)


def judge(
    task: Task, codes: Codes, believed: Floats, best: tuple[Codes, Floats]
) -> tuple[float, float, float]:
    """Return gain over the best hand-placed network, regret, and share of hypervolume."""
    world = task.world
    placed = task.placed[int(np.argmax(world.gain(task.placed)))]
    limit = float(world.latency_ms(placed[None])[0]) + 1e-9
    base = float(world.gain(placed[None])[0])
    kept = world.latency_ms(codes) <= limit
    chosen = codes[kept][int(np.argmax(believed[kept]))] if kept.any() else task.placed[0]
    got = float(world.gain(chosen[None])[0])
    known, gains = best
    most = max(float(gains[world.latency_ms(known) <= limit].max(initial=0.0)), base, got)
    front = non_dominated(np.stack([-believed, world.latency_ms(codes)], axis=1))
    bound = np.array([1e-9, float(world.latency_ms(known).max()) * 1.05])

    def volume(rows: Codes) -> float:
        return hypervolume(np.stack([-world.gain(rows), world.latency_ms(rows)], axis=1), bound)

    whole = max(volume(known), 1e-12)
    return (got - base) / UNIT, (most - got) / UNIT, volume(codes[front]) / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="number of the first world")
    parser.add_argument("--trainings", type=int, default=60)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS))
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in arguments.ways}
    for number in range(arguments.first, arguments.first + arguments.worlds):
        rng = np.random.default_rng([7, number])
        world = replace(make_world(rng, FAMILIES[number % len(FAMILIES)]), noise=UNIT)
        task = Task(world, arguments.trainings, number)
        limit = float(world.latency_ms(task.placed).max())
        best = best_known(world, limit, rng)
        for way in found:
            done = Trainings(world, np.random.default_rng([8, number]))
            found[way].append(judge(task, *WAYS[way](task, done, arguments.trainings), best))
    print(f"{arguments.worlds} worlds, {arguments.trainings} trainings each\n")
    print("| way | gain over the best hand-placed | regret | share of hypervolume |")
    print("| --- | --- | --- | --- |")
    for way, rows in found.items():
        table = np.array(rows)
        errors = table.std(axis=0, ddof=1) / np.sqrt(len(table))
        cells = [
            f"{mean:.2f} ± {error:.2f}"
            for mean, error in zip(table.mean(axis=0), errors, strict=True)
        ]
        print(f"| {way} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
