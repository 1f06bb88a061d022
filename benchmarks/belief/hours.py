"""What a budget of hours gives: short trainings alone, or some of them spent on full ones.

    python -m benchmarks.belief.hours [--worlds 40] [--short 96] [--ratio 8]

Simulated worlds of `benchmarks/claims`, in which a short training shows the gain by full training
through a crooked glass (saturated, biased by kind, slower the more blocks there are). One short
training is as noisy as the truth is spread, a full one half as much. A budget is counted in short
trainings: 96 of five minutes are eight hours on one core; a full training takes eight of them.

means: short trainings alone, the best raw mean: how searches went.
short: short trainings alone, half a balanced design, then rounds by the belief.
full: three fifths of the budget so, then full trainings of winner, rival and plain, fed back.

Printed of the network that each way would hand over, at no more latency than the best hand-placed
one: its true gain by full training over that network, its regret, and how often it is truly better
than plain; then how often the way says with 95 % that it beats plain (`means` always does), and how
often that is false. Units: the spread of the truth. Means with standard errors over worlds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.belief.search import FAMILIES, FULL, Task, best_known, by_means
from benchmarks.claims.worlds import UNIT, Trainer, World, make_world
from benchmarks.shared.report import print_machine, print_table
from nas.belief.belief import Belief
from nas.belief.evidence import Evidence
from nas.belief.grid import Codes, Floats
from nas.runs.retrain.in_search import Contender, choose_next
from nas.strategy.samplers.pareto.free_figures import known_points
from nas.strategy.samplers.pareto.knowledge import Observations, TargetedEvidence

TURNS, ROUNDS, SHARE = 8, 3, 0.4
CERTAIN = 1.645


@dataclass
class Trainings:
    """The trainings of one budget. images: seen by each; a full one sees `FULL`."""

    world: World
    trainer: Trainer
    ratio: int
    codes: list[Codes] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    images: list[float] = field(default_factory=list)

    def train(self, row: Codes, *, full: bool = False) -> None:
        gain = self.world.gain if full else self.world.shown_gain
        # Seeds of full trainings are others than those of short ones.
        seed = len(self.codes) % TURNS + (1000 if full else 0)
        error = float(self.trainer.errors(row[None], np.array([seed]))[0])
        self.codes.append(row)
        self.losses.append(float(-gain(row[None])[0]) + (0.5 * error if full else error))
        self.seeds.append(seed)
        self.images.append(FULL if full else FULL / self.ratio)

    @property
    def spent(self) -> float:
        """In short trainings."""
        return float(sum(self.images)) * self.ratio / FULL

    def evidence(self) -> Evidence:
        count = len(self.codes)
        return Evidence(
            np.array(self.codes),
            ["full" if images == FULL else "start" for images in self.images],
            np.array(self.images),
            np.array(self.seeds),
            np.arange(count),
            np.array(self.losses),
            np.full(count, np.nan),
        )


@dataclass(frozen=True)
class Outcome:
    """What is handed over: a network (s,), and whether it is claimed to beat plain."""

    chosen: Codes
    claimed: bool


def _belief(task: Task, done: Trainings) -> Belief:
    space = known_points(
        task.grid, task.knowledge, task.grid.random(1000, np.random.default_rng(task.seed))
    )
    return Belief.fit(space, done.evidence(), target_images=FULL)


def _search(task: Task, done: Trainings, short: int) -> None:
    """Spend short trainings: hand-placed networks, a design, then rounds by the belief."""
    design = task.design[: short // 2 - len(task.placed)]
    acquisition = task.acquisition(replace(task.knowledge, design=design), short // 2)
    for row in task.placed:
        done.train(row)
    while done.spent < short:
        codes = np.array(done.codes)
        costs = np.stack([done.losses, task.world.latency_ms(codes)], axis=1)
        evidence = {0: TargetedEvidence(done.evidence(), FULL)}
        observed = Observations(codes, costs, np.zeros(len(codes), np.bool_), evidence=evidence)
        suggested = acquisition.suggest(observed, task.seed + len(codes))
        if suggested is None:
            break
        done.train(suggested.codes)


def _handed_over(task: Task, done: Trainings) -> Outcome:
    codes = np.unique(np.array(done.codes), axis=0)
    codes = codes[task.world.latency_ms(codes) <= limit(task)]
    gain = _belief(task, done).gain(codes)
    best = int(gain.mean.argmax())
    sure = bool(gain.mean[best] > CERTAIN * gain.deviation[best])
    return Outcome(codes[best], sure and bool(codes[best].any()))


def limit(task: Task) -> float:
    """Return the latency of the best hand-placed network, in ms."""
    best = int(np.argmax(task.world.gain(task.placed)))
    return float(task.world.latency_ms(task.placed[best][None])[0]) + 1e-9


def by_short(task: Task, done: Trainings, short: int) -> Outcome:
    _search(task, done, short)
    return _handed_over(task, done)


def by_full(task: Task, done: Trainings, short: int) -> Outcome:
    _search(task, done, round((1 - SHARE) * short))
    left = int((short - done.spent) // done.ratio)
    each = max(1, -(-left // ROUNDS))
    while left > 0:
        codes = np.unique(np.array(done.codes), axis=0)
        codes = codes[task.world.latency_ms(codes) <= limit(task)]
        had = [
            sum(images == FULL and bool((row == code).all()) for row, images in _pairs(done))
            for code in codes
        ]
        contenders = [
            Contender(number, seeds, not code.any(), _is_placed(task, code))
            for number, (code, seeds) in enumerate(zip(codes, had, strict=True))
        ]
        draws = _belief(task, done).draws(codes, 2000)
        for number, _ in choose_next(contenders, draws, min(each, left)):
            done.train(codes[number], full=True)
            left -= 1
    return _handed_over(task, done)


def _pairs(done: Trainings) -> list[tuple[Codes, float]]:
    return list(zip(done.codes, done.images, strict=True))


def _is_placed(task: Task, code: Codes) -> bool:
    return bool((task.placed == code).all(axis=1).any())


def by_raw_means(task: Task, done: Trainings, short: int) -> Outcome:
    codes, quality = by_means(task, done, short)  # type: ignore[arg-type]
    kept = task.world.latency_ms(codes) <= limit(task)
    if not kept.any():
        return Outcome(task.placed[0], claimed=False)
    chosen = codes[kept][int(np.argmax(quality[kept]))]
    return Outcome(chosen, bool(chosen.any()))


WAYS: dict[str, Callable[[Task, Trainings, int], Outcome]] = {
    "means": by_raw_means,
    "short": by_short,
    "full": by_full,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="number of the first world")
    parser.add_argument("--short", type=int, default=96, help="the budget, in short trainings")
    parser.add_argument("--ratio", type=int, default=8, help="short trainings in a full one")
    options = parser.parse_args()
    rows: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for number in range(options.first, options.first + options.worlds):
        rng = np.random.default_rng([9, number])
        drawn = make_world(rng, FAMILIES[number % len(FAMILIES)])
        world = replace(drawn, noise=UNIT, bent=float(rng.uniform(0.3, 1.0)), exact_plain=False)
        task = Task(world, options.short, number)
        known, gains = best_known(world, float(world.latency_ms(task.placed).max()), rng)
        most = float(gains[world.latency_ms(known) <= limit(task)].max(initial=0.0))
        placed = float(world.gain(task.placed).max())
        for way, spend in WAYS.items():
            trainer = Trainer(world, np.random.default_rng([10, number]))
            outcome = spend(task, Trainings(world, trainer, options.ratio), options.short)
            got = float(world.gain(outcome.chosen[None])[0])
            rows[way].append(
                [
                    (got - placed) / UNIT,
                    (max(most, got) - got) / UNIT,
                    float(got > 0),
                    float(outcome.claimed),
                    float(outcome.claimed and got <= 0),
                ]
            )
    print_machine("numpy", "scipy")
    heads = ["way", "over the best placed", "regret", "better than plain", "claimed", "falsely"]
    print_table(heads, [[way, *_cells(np.array(values))] for way, values in rows.items()])


def _cells(values: Floats) -> list[str]:
    errors = values.std(axis=0) / np.sqrt(len(values))
    return [f"{a:.2f} +- {b:.2f}" for a, b in zip(values.mean(axis=0), errors, strict=True)]


if __name__ == "__main__":
    main()
