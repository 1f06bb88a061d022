"""What stopping weak networks early saves, and what of the front it costs, on accuracy tables.

    python -m benchmarks.search.rungs TABLE --cost COLUMN [--quality COLUMN] [--seeds 10]

TABLE: as for samplers.py. The whole search (asking, rungs, promotions, the study) runs as it
does for real, on a virtual clock; its networks are those of the table. A table knows no learning
curves, so these are made up: on rungs of 1, 3 and 9 units of training the loss is the table's and
a normal error, independent between networks, so large that the lowest rung's order agrees with
the true one by the correlation given (among the better half of the networks), and smaller by the
square root of the training above it. A rung is thus as good as it is said to be: what one's own
proxy is worth, `nas calibrate` tells.

Printed: shares of the true front's hypervolume by true values (samplers.py says by what
reference points), with 95 % intervals, and training in units of one whole training.
- whole: every network trained to the top.
- rungs: as many networks, a third of them promoted at each rung.
- fewer: as many whole trainings as the training of `rungs` would have paid for.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd

from benchmarks.search.sampler_report import half_width
from benchmarks.search.table import Table, Whole
from benchmarks.search.table_files import name_table, named_table
from benchmarks.shared.report import print_machine, print_table
from nas.base.seeds import derive
from nas.execution.simulated import SimulatedExecutor, VirtualClock
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture, Insertion
from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.samplers.pareto import Knowledge
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.front.pareto import non_dominated
from nas.study.record import COMPLETE, Evaluation, Job, Outcome, Record, RungResult

BUDGETS = (1.0, 3.0, 9.0)
OBJECTIVES = objectives_named(["loss", "latency_ms"])
SAMPLED = 2000  # networks that the spread of losses is taken from


class TableCandidates:
    """A table's networks as architectures, as a search asks for them: a block for each choice."""

    head: Mapping[str, tuple[str, ...]] = {}
    space = SimpleNamespace(max_insertions=None)

    def __init__(self, table: Table) -> None:
        self._labels = {name: tuple(map(str, items)) for name, items in table.parameters.items()}

    def references(self) -> dict[str, Architecture]:
        return {"plain": self.architecture({name: item[0] for name, item in self._labels.items()})}

    def parameters(self) -> dict[str, tuple[str, ...]]:
        return dict(self._labels)

    def parameters_given(self, head: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        return dict(self._labels)

    def architecture(self, values: Mapping[str, str]) -> Architecture:
        return Architecture("table", 1, tuple(Insertion(*item) for item in values.items()))

    def values(self, architecture: Architecture) -> dict[str, str]:
        return {item.site: item.block for item in architecture.insertions}

    def limit_insertions(self, values: Mapping[str, str], rng: random.Random) -> dict[str, str]:
        return dict(values)

    def sample(self, rng: random.Random) -> dict[str, str]:
        return {name: rng.choice(items) for name, items in self._labels.items()}

    def codes(self, architecture: Architecture) -> Whole:
        """(1, D)."""
        values = self.values(architecture)
        return np.array([[items.index(values[name]) for name, items in self._labels.items()]])


class TableFigures:
    """Costs are known, as from a device profile."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def knowledge(self, objectives: object) -> Knowledge:
        def codes(columns: Mapping[str, Whole]) -> Whole:
            return np.stack([columns[name] for name in self._table.parameters], axis=1)

        def free(number: int) -> object:
            return lambda columns: self._table.free_of(codes(columns))[:, number]

        return Knowledge(
            {1: lambda columns: self._table.cost_of(codes(columns))},
            [free(number) for number in range(len(self._table.free))],  # type: ignore[misc]
        )


class Simulated:
    """Trainings on a table. error: standard deviation of the lowest rung's."""

    def __init__(self, table: Table, seed: int, agreement: float) -> None:
        self.table = table
        self.candidates = TableCandidates(table)
        self._seed = seed
        self._error = spread(table) * math.sqrt(1 / agreement**2 - 1)

    def __call__(self, job: Job) -> Outcome:
        architecture = Architecture.from_json(job.architecture)
        codes = self.candidates.codes(architecture)
        losses = self.table.losses(codes)[0]
        drawn = derive(self._seed, "observe", job.digest, job.repeat)
        top = float(losses[drawn % len(losses)])
        reached = len(BUDGETS) if job.rung == -1 else job.rung + 1
        rows = [(budget, self._seen(top, drawn, budget), 0.5, budget) for budget in BUDGETS]
        *below, (_, loss, accuracy, seconds) = rows[:reached]
        cost = float(self.table.cost_of(codes)[0])
        return Outcome(
            Evaluation(
                loss=loss,
                accuracy=accuracy,
                latency_ms=cost,
                latency_wall_ms=cost,
                latency_spread=0.0,
                params=1,
                macs=1,
                images=10_000,
                seconds=seconds,
                train_seconds=seconds,
                rungs=tuple(RungResult(*scores) for scores in below),
            )
        )

    def _seen(self, top: float, drawn: int, budget: float) -> float:
        if budget == BUDGETS[-1]:
            return top
        error = random.Random(derive(drawn, "rung", int(budget))).gauss(0, self._error)
        return top + error / math.sqrt(budget)


def spread(table: Table) -> float:
    """Standard deviation of true losses among the better half."""
    codes = np.random.default_rng(0).integers(0, table.sizes, (SAMPLED, len(table.sizes)))
    losses = table.losses(codes).mean(axis=1)
    return float(losses[losses <= table.usual_loss].std())


def searched(simulated: Simulated, *, trials: int, seed: int, halve: bool) -> tuple[Record, ...]:
    plan = SearchPlan(
        trials=trials, seed=seed, confirm_seeds=1, patience=None, reduction=3 if halve else None
    )
    clock = VirtualClock()
    with tempfile.TemporaryDirectory() as folder:
        core = Search(
            cast(Candidates, simulated.candidates),
            plan,
            Store.create(Path(folder) / "study.journal", OBJECTIVES),
            rungs=len(BUDGETS),
            figures=cast(SpaceFigures, TableFigures(simulated.table)),
            clock=clock,
        )
        SimulatedExecutor(simulated, clock=clock).run(core)
        return core.records


def worth(simulated: Simulated, records: tuple[Record, ...]) -> tuple[float, float, float]:
    """Shares near and top, and whole trainings spent."""
    whole = [record for record in records if record.state == COMPLETE]
    costs = np.array([[record.loss, record.latency_ms] for record in whole], dtype=np.float64)
    codes = np.concatenate(
        [simulated.candidates.codes(Architecture.from_json(item.architecture)) for item in whole]
    )
    usable = simulated.table.usable(codes)
    codes, costs = codes[usable], costs[usable]
    near, _, top = simulated.table.shares(simulated.table.truth(codes[non_dominated(costs)]))
    spent = sum(record.train_seconds or 0.0 for record in records) / BUDGETS[-1]
    return near, top, spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    name_table(parser)
    parser.add_argument("--agreement", type=float, nargs="+", default=[0.6, 0.8, 0.9])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    table = named_table(parser, given)
    rows = []
    for seed in range(given.seeds):
        for trials in given.trials:
            base = Simulated(table, seed, 0.5)
            whole = worth(base, searched(base, trials=trials, seed=seed, halve=False))
            rows.append(("whole", trials, math.nan, *whole))
            for agreement in given.agreement:
                simulated = Simulated(table, seed, agreement)
                found = worth(simulated, searched(simulated, trials=trials, seed=seed, halve=True))
                rows.append(("rungs", trials, agreement, *found))
                fewer = max(4, round(found[-1]))
                alone = worth(base, searched(base, trials=fewer, seed=seed, halve=False))
                rows.append(("fewer", trials, agreement, *alone))
        print(f"{seed + 1}/{given.seeds}", end="\r", file=sys.stderr, flush=True)
    print_machine("attention-nas", "optuna")
    columns = ["search", "networks", "agreement", "near", "top", "trainings"]
    frame = pd.DataFrame(rows, columns=columns)
    lines = []
    for (trials, agreement, search), mine in frame.groupby(
        ["networks", "agreement", "search"], dropna=False, sort=False
    ):
        cells = [
            f"{mine[name].mean():.3f} ±{half_width(mine[name]):.3f}" for name in ("near", "top")
        ]
        lines.append(
            [
                str(search),
                str(trials),
                f"{agreement:.1f}",
                *cells,
                f"{mine['trainings'].mean():.0f}",
            ]
        )
    print_table(tuple(columns), lines)


if __name__ == "__main__":
    main()
