"""Samplers under one interface: Optuna's and ours through a study, other libraries by adapters.

All propose networks of a `Table` by their codes, the number of each choice. What a library needs
beyond the project's own packages is imported when its sampler is made; each needs
`pip install botorch pymoo syne-tune neural-pipeline-search` or a part of it.

Nothing but the loss has to be paid for: the cost and the free figures of any network can be
computed. BoTorch's sampler and ours are given them; the others have no place for them. Where a
library offers settings that matter, they are members of one family here (`nsga2`, `nsga2-50`),
as many for each family as for ours, and tuned on the same tables.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from benchmarks.search.peer_libraries import OfBoTorch, OfNeps, OfPymoo, OfSyneTune
from benchmarks.search.searcher import Codes, Make, Pair, Searcher
from benchmarks.search.table import Floats, Table, Whole
from nas.base.errors import SpecError
from nas.base.machine import version
from nas.strategy.samplers.evolution import FrontMutation, RegularisedEvolution
from nas.strategy.samplers.pareto import Knowledge, ParetoSampler

__all__ = [
    "PACKAGES",
    "PEERS",
    "Codes",
    "OfOptuna",
    "Searcher",
    "distributions",
    "family",
    "installed",
    "known_of",
    "make_searcher",
    "our_sampler",
]

PACKAGES = {
    "botorch": "botorch",
    "pymoo": "pymoo",
    "synetune": "syne-tune",
    "neps": "neural-pipeline-search",
}
"""Family -> what pip installs for it, where it is not the project's own."""


# Optuna's samplers and ours.


def distributions(table: Table) -> dict[str, BaseDistribution]:
    """Parameters with an order are ints, the number of the choice."""
    return {
        name: CategoricalDistribution(choices)
        if isinstance(choices[0], str)
        else IntDistribution(0, len(choices) - 1)
        for name, choices in table.parameters.items()
    }


class OfOptuna:
    """A study in memory."""

    def __init__(self, table: Table, sampler: BaseSampler) -> None:
        self._space = distributions(table)
        self.study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> Codes:
        trial = self._trials[number] = self.study.ask(self._space)
        return tuple(
            int(kind.to_internal_repr(trial.params[name])) for name, kind in self._space.items()
        )

    def note(self, number: int, codes: Codes) -> None:
        values = {
            name: self._space[name].to_external_repr(code)
            for name, code in zip(self._space, codes, strict=True)
        }
        self.study.enqueue_trial(values)
        self.ask(number)

    def tell(self, number: int, costs: Pair | None) -> None:
        trial = self._trials.pop(number)
        if costs is None:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, costs)


def _of_optuna(make: Callable[[int, int], BaseSampler]) -> Make:
    """make: number of workers, seed -> a sampler."""

    def searcher(table: Table, workers: int, seed: int) -> Searcher:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return OfOptuna(table, make(workers, seed))

    return searcher


def known_of(table: Table) -> Knowledge:
    """What the sampler of `nas search` knows of a table without an evaluation."""

    def codes(choices: Mapping[str, Whole]) -> Whole:
        return np.stack([choices[name] for name in table.parameters], axis=1)

    def free(column: int) -> Callable[[Mapping[str, Whole]], Floats]:
        return lambda choices: table.free_of(codes(choices))[:, column]

    return Knowledge(
        objectives={1: lambda choices: table.cost_of(codes(choices))},
        features=[free(column) for column in range(len(table.free))],
    )


def our_sampler(table: Table, seed: int) -> ParetoSampler:
    """The sampler of `nas search`, which is told what needs no evaluation."""
    return ParetoSampler(seed=seed, knowledge=known_of(table), space=distributions(table))


# The line-up.

PEERS: dict[str, Make] = {
    "pareto": lambda table, workers, seed: OfOptuna(table, our_sampler(table, seed)),
    "random": _of_optuna(lambda workers, seed: RandomSampler(seed=seed)),
    "tpe": _of_optuna(
        lambda workers, seed: TPESampler(seed=seed, constant_liar=workers > 1, n_startup_trials=12)
    ),
    "tpe-multivariate": _of_optuna(
        lambda workers, seed: TPESampler(
            seed=seed, multivariate=True, constant_liar=workers > 1, n_startup_trials=12
        )
    ),
    "nsga2": _of_optuna(lambda workers, seed: NSGAIISampler(seed=seed, population_size=20)),
    "nsga2-50": _of_optuna(lambda workers, seed: NSGAIISampler(seed=seed, population_size=50)),
    "nsga3": _of_optuna(lambda workers, seed: NSGAIIISampler(seed=seed, population_size=20)),
    "nsga3-50": _of_optuna(lambda workers, seed: NSGAIIISampler(seed=seed, population_size=50)),
    "gp": _of_optuna(lambda workers, seed: GPSampler(seed=seed, n_startup_trials=12)),
    "evolution": _of_optuna(
        lambda workers, seed: RegularisedEvolution(seed=seed, population=20, tournament=5)
    ),
    "evolution-50": _of_optuna(
        lambda workers, seed: RegularisedEvolution(seed=seed, population=50, tournament=10)
    ),
    "front": _of_optuna(lambda workers, seed: FrontMutation(seed=seed, startup=12)),
    "front-25": _of_optuna(lambda workers, seed: FrontMutation(seed=seed, startup=25)),
    "pymoo": lambda table, workers, seed: OfPymoo(table, 20, seed),
    "pymoo-50": lambda table, workers, seed: OfPymoo(table, 50, seed),
    "synetune": lambda table, workers, seed: OfSyneTune(table, 20, 5, seed),
    "synetune-50": lambda table, workers, seed: OfSyneTune(table, 50, 10, seed),
    "botorch": lambda table, workers, seed: OfBoTorch(table, seed),
    "neps": lambda table, workers, seed: OfNeps(table, seed),
}
"""Name -> how it is made. `pareto` is ours; a dash joins a family's name and a setting."""


def family(name: str) -> str:
    """What settings of one sampler share: what stands before the dash."""
    return name.split("-")[0]


def installed(name: str) -> bool:
    package = PACKAGES.get(family(name))
    return package is None or version(package) is not None


def make_searcher(name: str, table: Table, workers: int, seed: int) -> Searcher:
    if name not in PEERS:
        raise SpecError(f"no sampler {name!r}; there are {', '.join(PEERS)}")
    return PEERS[name](table, workers, seed)
