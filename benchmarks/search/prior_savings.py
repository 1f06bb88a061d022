"""What rules of one search save the search of the next backbone.

    python -m benchmarks.search.prior_savings [--truths 6] [--first 0] [--trials 60]

SYNTHETIC: no network is trained. A drawn truth says what each kind of block saves by how deep it
stands, with which ratio, and less the more blocks there are; a part of it differs from backbone to
backbone, so rules carry over in part. Trainings are noisy; latencies are drawn likewise. The real
loop (search core, sampler, store) first searches mobilenetv2_035 on the truth, `nas explain` makes
rules of what it found, and mnasnet_100 is searched without a prior, with those rules, and with the
rules of another, unrelated truth, which are as wrong as rules can be by chance.

Printed: the share of the true front's hypervolume after so many networks, by their true losses
(mean over truths), and with how many networks a search with rules is where the one without is at
its end.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.report import print_machine, print_table
from nas.base.seeds import derive
from nas.execution.simulated import SimulatedExecutor
from nas.models.candidates import Candidates
from nas.models.site_locations import site_locations
from nas.report.explain import explain_front
from nas.report.explain.search_prior import make_search_prior
from nas.spec.architecture import EMPTY, KEEP, Architecture, parse_label
from nas.spec.objective import objectives_named
from nas.spec.prior import Rules, SiteLocation
from nas.spec.search_plan import SearchPlan
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.front.front import Front
from nas.study.front.indicators import hypervolume
from nas.study.record import COMPLETE, Evaluation, Job, Outcome, Record
from nas.study.trials import Trials

Floats = NDArray[np.float64]

OBJECTIVES = ("loss", "latency_ms")
SHOWN = (15, 20, 30, 40, 60)
BLOCKS: dict[str, dict[str, list[int]]] = {
    "se": {"reduction": [8, 16, 24, 32]},
    "cbam": {"reduction": [8, 16, 24, 32], "kernel_size": [3, 7]},
    "coord": {"reduction": [8, 16, 32]},
    "eca": {},
}
COST = {"se": 0.012, "cbam": 0.028, "coord": 0.040, "eca": 0.010}
NOISE, OWN = 0.002, 0.5  # of a training; share of a block's gain that is its backbone's own


@dataclass(frozen=True, eq=False)
class Truth:
    """strength: kind -> what it saves at best; centre, width: where in depth that is."""

    strength: Mapping[str, float]
    centre: Mapping[str, float]
    width: Mapping[str, float]
    slope: Mapping[str, float]
    crowding: float
    seed: int

    @classmethod
    def drawn(cls, seed: int) -> Truth:
        rng = np.random.default_rng(seed)
        return cls(
            {kind: float(rng.uniform(0.0, 0.006)) for kind in BLOCKS},
            {kind: float(rng.uniform(0, 1)) for kind in BLOCKS},
            {kind: float(rng.uniform(0.15, 0.5)) for kind in BLOCKS},
            {kind: float(rng.uniform(-0.25, 0.25)) for kind in BLOCKS},
            float(rng.uniform(0.00005, 0.0001)),
            seed,
        )

    def gain(self, backbone: str, site: str, where: SiteLocation, label: str) -> float:
        kind, options = parse_label(label)
        usual = self.strength[kind] * math.exp(
            -0.5 * ((where.depth - self.centre[kind]) / self.width[kind]) ** 2
        )
        usual *= 1 + self.slope[kind] * (math.log2(float(options.get("reduction", 16))) - 4)
        rng = np.random.default_rng(derive(self.seed, backbone, site, kind) % 2**32)
        return usual * (1 - OWN) + OWN * float(rng.normal(0.3, 1)) * 0.002

    def latency(self, where: SiteLocation, label: str) -> float:
        kind, _ = parse_label(label)
        return COST[kind] * (0.5 + 4 / where.stride)


@dataclass(frozen=True, eq=False)
class World:
    """A truth for one backbone: site -> label -> (loss saved, milliseconds added)."""

    candidates: Candidates
    sites: Mapping[str, Mapping[str, tuple[float, float]]]
    crowding: float

    @classmethod
    def of(cls, candidates: Candidates, truth: Truth) -> World:
        ((plain, _),) = candidates.plains()
        lying = site_locations(candidates, plain)
        sites = {}
        for place in candidates.decisions(plain):
            (site,) = place.sites
            sites[site.name] = {
                label: (
                    truth.gain(plain.backbone, site.name, lying[site.name], label),
                    truth.latency(lying[site.name], label),
                )
                for label in place.choices
                if label not in (KEEP, EMPTY)
            }
        return cls(candidates, sites, truth.crowding)

    def costs(self, architecture: Architecture) -> tuple[float, float]:
        """Without noise."""
        items = [self.sites[item.site][item.label] for item in architecture.blocks]
        blocks = len(items)
        saved = sum(item[0] for item in items) - self.crowding * blocks * (blocks - 1) / 2
        return 0.5 - saved, 0.5 + sum(item[1] for item in items)

    def evaluate(self, job: Job) -> Outcome:
        architecture = Architecture.from_json(job.architecture)
        loss, latency_ms = self.costs(architecture)
        trained = bool(architecture.blocks)
        rng = np.random.default_rng(derive(job.seed, job.digest) % 2**32)
        return Outcome(
            Evaluation(
                loss=loss + NOISE * float(rng.standard_normal()) * trained,
                accuracy=1 - loss,
                latency_ms=latency_ms * float(rng.normal(1, 0.003)),
                latency_wall_ms=None,
                latency_spread=0.003,
                params=1,
                macs=1,
                images=1000,
                seconds=1.0,
                train_seconds=1.0,
                trained=trained,
            )
        )

    def best(self) -> Floats:
        """(k, 2) costs of the true front: for each number of blocks that may stand, the best sums
        for many prices of time (blocks of one site exclude each other, and nothing else does).
        """
        found = []
        for price in np.geomspace(1e-4, 1, 400):
            worth = {
                site: max((saved - price * added, saved, added) for saved, added in labels.values())
                for site, labels in self.sites.items()
            }
            order = sorted(worth.values(), reverse=True)
            for blocks in range(len(order) + 1):
                saved = sum(item[1] for item in order[:blocks])
                saved -= self.crowding * blocks * (blocks - 1) / 2
                found.append((0.5 - saved, 0.5 + sum(item[2] for item in order[:blocks])))
        return np.array(found)


def space_of(backbone: str) -> Candidates:
    space = {
        "name": backbone,
        "backbones": [backbone],
        "resolutions": [32],
        "total_stride": 16,
        "blocks": BLOCKS,
    }
    return Candidates(SearchSpace.model_validate(space))


def searched(
    world: World, figures: SpaceFigures, seed: int, trials: int, folder: Path
) -> tuple[Record, ...]:
    store = Store.create(folder / "study.journal", objectives_named(list(OBJECTIVES)))
    search = Search(
        world.candidates,
        SearchPlan(trials=trials, seed=seed, patience=None, confirm_seeds=2),
        store,
        figures=figures,
    )
    SimulatedExecutor(world.evaluate).run(search)
    return search.records


def found_rules(candidates: Candidates, figures: SpaceFigures, seed: int, trials: int) -> Rules:
    with tempfile.TemporaryDirectory() as folder:
        world = World.of(candidates, Truth.drawn(seed))
        records = searched(world, figures, seed, trials, Path(folder))
    front = Front.of(Trials.of(records), objectives_named(list(OBJECTIVES)))
    return make_search_prior(explain_front(front), candidates, data="synthetic")


def shares(world: World, records: tuple[Record, ...]) -> Floats:
    """(trials,) of the true front's hypervolume after so many networks, by their true costs."""
    firsts = [item for item in records if item.repeat == 0 and item.state == COMPLETE]
    costs = np.array([world.costs(Architecture.from_json(item.architecture)) for item in firsts])
    placed = costs[[item.reference is not None for item in firsts]]
    true = world.best()
    bound = np.array([0.5 + 1e-6, max(placed[:, 1].max(), true[:, 1].max())])
    whole = hypervolume(true, bound)
    return np.array(
        [hypervolume(costs[: number + 1], bound) / whole for number in range(len(costs))]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truths", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="number of the first truth")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--source", default="mobilenetv2_035")
    parser.add_argument("--target", default="mnasnet_100")
    given = parser.parse_args()
    source, target = space_of(given.source), space_of(given.target)
    known, figures = (
        SpaceFigures(space, task=Task(outputs=10), profile=None) for space in (source, target)
    )
    results: dict[str, list[Floats]] = {"no prior": [], "rules": [], "unrelated rules": []}
    for seed in range(given.first, given.first + given.truths):
        priors = {
            "no prior": None,
            "rules": found_rules(source, known, seed, given.trials),
            "unrelated rules": found_rules(source, known, seed + 1000, given.trials),
        }
        world = World.of(target, Truth.drawn(seed))
        for name, rules in priors.items():
            with tempfile.TemporaryDirectory() as folder:
                told = figures.with_prior(rules) if rules is not None else figures
                records = searched(world, told, seed, given.trials, Path(folder))
            results[name].append(shares(world, records)[: given.trials])
        ends = ", ".join(f"{name} {runs[-1][-1]:.3f}" for name, runs in results.items())
        print(f"truth {seed}: {ends}", file=sys.stderr, flush=True)
    print_machine("attention-nas", "optuna")
    print(f"SYNTHETIC truths: {given.truths}; from {given.source} to {given.target}\n")
    shown = [number for number in SHOWN if number <= given.trials]
    last = [float(run[-1]) for run in results["no prior"]]
    lines = []
    for name, runs in results.items():
        rows = np.array(runs)
        reached = [
            int(np.argmax(run >= end) + 1) if (run >= end).any() else given.trials
            for run, end in zip(runs, last, strict=True)
        ]
        lines.append(
            [
                name,
                *(f"{rows[:, number - 1].mean():.3f}" for number in shown),
                f"{np.median(reached):.0f} ({min(reached)}-{max(reached)})",
            ]
        )
    print_table(("share after", *map(str, shown), "as good as no prior at the end"), lines)
    gains = np.array(results["rules"]) - np.array(results["no prior"])
    for number in shown:
        gain = gains[:, number - 1]
        error = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else math.nan
        print(f"rules against none after {number}: {gain.mean():+.3f} ± {error:.3f}")


if __name__ == "__main__":
    main()
