"""The samplers by name: what proposes the next architecture. One line each in `SAMPLERS`."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from nas.strategy.samplers.evolution import FrontMutation, RegularisedEvolution
from nas.strategy.samplers.pareto import ParetoSampler

__all__ = ["SAMPLERS", "make_sampler"]


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=12, deterministic_objective=False)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "pareto": lambda seed: ParetoSampler(seed=seed),
    "evolution": lambda seed: RegularisedEvolution(seed=seed, population=20, tournament=5),
    "front": lambda seed: FrontMutation(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed, population_size=20),
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=12),
    "gp": _gp,
    "random": lambda seed: RandomSampler(seed=seed),
}
"""The samplers: name -> a function of the seed. The first three are ours, the others Optuna's."""


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Make a fresh sampler for one proposal.

    seed: comes from the trial's number, so that a resumed search goes on and does not repeat
        itself (optuna issue 3255).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed)
