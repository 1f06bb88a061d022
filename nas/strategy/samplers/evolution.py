"""Two small evolutionary samplers for Optuna, for any space of categorical and int parameters.

Both copy a parent and change a few of its parameters; they differ in who may be a parent. Every
draw comes from the seed and the trial's number, so a sampler made anew goes on as the old one.
"""

from __future__ import annotations

import abc
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.study.front.pareto import non_dominated

__all__ = ["FrontMutation", "RegularisedEvolution"]

Value = CategoricalChoiceType | int

_FURTHER = 0.5  # the chance that one more parameter is changed


@dataclass(frozen=True, slots=True)
class _Plan:
    """The values that a trial is to have: its parent's, but for the parameters in `changed`."""

    values: Mapping[str, Any]
    changed: frozenset[str]
    rng: random.Random


class _Mutation(BaseSampler, abc.ABC):
    """A sampler that changes one parameter of a parent, each further one with half the chance.

    A parameter that the parent does not have, as in a conditional space, is drawn at random; so
    is all of a trial while there is no parent.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._plans: dict[int, _Plan] = {}

    @abc.abstractmethod
    def _parent(self, study: Study, rng: random.Random) -> FrozenTrial | None:
        """Return the finished trial to change; None: draw at random."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the trial's parent, and the parameters that it changes."""
        rng = random.Random(derive(self._seed, "mutation", trial.number))
        parent = self._parent(study, rng)
        if parent is None:
            self._plans[trial.number] = _Plan({}, frozenset(), rng)
            return
        free = [name for name, kind in parent.distributions.items() if not kind.single()]
        count = 1
        while count < len(free) and rng.random() < _FURTHER:
            count += 1
        changed = frozenset(rng.sample(free, min(count, len(free))))
        self._plans[trial.number] = _Plan(parent.params, changed, rng)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: which parameters there are shows as they are drawn."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: every parameter is drawn by itself."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the parent's value, or another where the plan changes it."""
        plan = self._plans[trial.number]
        choices = _choices(param_name, param_distribution)
        if param_name not in plan.values or plan.values[param_name] not in choices:
            return plan.rng.choice(choices)
        value = plan.values[param_name]
        if param_name not in plan.changed:
            return value
        return plan.rng.choice([choice for choice in choices if choice != value])

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Forget the trial's plan."""
        self._plans.pop(trial.number, None)


class FrontMutation(_Mutation):
    """A sampler that changes a member of the front, each distinct one with the same chance.

    startup: number of finished trials before the first parent is taken.
    """

    def __init__(self, *, seed: int, startup: int = 12) -> None:
        super().__init__(seed=seed)
        self._startup = startup

    def _parent(self, study: Study, rng: random.Random) -> FrozenTrial | None:
        finished = _finished(study)
        if len(finished) < max(1, self._startup):
            return None
        on_front = non_dominated(_costs(study, finished))
        members = [trial for trial, kept in zip(finished, on_front, strict=True) if kept]
        distinct = {tuple(sorted(trial.params.items())): trial for trial in members}
        return rng.choice(list(distinct.values()))


class RegularisedEvolution(_Mutation):
    """Regularised evolution for several objectives.

    The parent wins a tournament among the youngest finished trials: the lowest non-dominated
    rank wins, of equal ones any. Members die of age alone.

    population: number of the youngest finished trials that may be drawn.
    tournament: number of them that are drawn.
    Source: arXiv:1802.01548.
    """

    def __init__(self, *, seed: int, population: int = 50, tournament: int = 10) -> None:
        super().__init__(seed=seed)
        self._population = population
        self._tournament = tournament

    def _parent(self, study: Study, rng: random.Random) -> FrozenTrial | None:
        finished = _finished(study)
        if len(finished) < max(1, self._population):
            return None
        alive = finished[-self._population :]
        ranks = _ranks(_costs(study, alive))
        drawn = rng.sample(range(len(alive)), min(self._tournament, len(alive)))
        best = min(ranks[number] for number in drawn)
        return alive[rng.choice([number for number in drawn if ranks[number] == best])]


def _finished(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _costs(study: Study, trials: Sequence[FrozenTrial]) -> NDArray[np.float64]:
    """Return (n, m), minimised."""
    signs = [-1.0 if way == StudyDirection.MAXIMIZE else 1.0 for way in study.directions]
    return np.array([trial.values for trial in trials], dtype=np.float64) * signs


def _ranks(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n,): 0 for the front of costs (n, m), 1 for the front of what is left, and so on."""
    ranks = np.zeros(len(costs), dtype=np.int64)
    left = np.arange(len(costs))
    while left.size:
        front = non_dominated(costs[left])
        left = left[~front]
        ranks[left] += 1
    return ranks


def _choices(name: str, distribution: BaseDistribution) -> Sequence[Value]:
    match distribution:
        case CategoricalDistribution():
            return distribution.choices
        case IntDistribution():
            return range(distribution.low, distribution.high + 1, distribution.step)
    raise SpecError(
        f"parameter {name!r} is a {type(distribution).__name__}; evolution takes categorical and "
        "int parameters; choose another sampler or give it choices"
    )
