"""The sampler in Optuna's form: for any finite space, with any number of objectives."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.base.seeds import derive
from nas.base.threads import one_thread
from nas.belief.grid import Codes, Floats, Grid
from nas.strategy.samplers.pareto.acquisition import Acquisition
from nas.strategy.samplers.pareto.knowledge import Knowledge, Observations, TargetedEvidence
from nas.study.prospect import PROSPECT, Prospect

__all__ = ["PROMISE", "PROPOSED", "ParetoSampler"]

PROMISE = "pareto:promise"
"""The system attribute of a trial that a model proposed.

It holds the hypervolume that the trial was expected to add, and what evaluating a member of the
front once more was expected to seem to add by noise alone.
"""

PROPOSED = "pareto:proposed"
"""The system attribute of a trial with the values that it was given.

A trial has its parameters only when its objective has asked for them, and others may be proposed
meanwhile; and Optuna keeps the first of equal choices, such as True of True and 1.
"""

_FIXED = "fixed_params"
"""Optuna's own, of a trial that was enqueued."""
_TRIES = 8  # for a point that nobody else has taken at the same moment
_PLAIN = {type(None), bool, int, float, str}  # what every storage keeps


class ParetoSampler(BaseSampler):
    """A sampler that proposes what is expected to add most hypervolume, and nothing twice.

    seed: of everything random; a proposal depends on it, on the trials of the study and on the
        new trial's number, so that an interrupted study goes on as it would have.
    knowledge: what needs no evaluation: objectives by their number, such as a predicted latency;
        other free figures, such as parameters and multiply-adds; what may be proposed. Each
        gets, for each parameter, the numbers of the choices of n points.
    start: number of trials before the model, spread over what is known of the first objective
        or feature.
    pool: number of points that are screened for each proposal.
    space: all parameters, where the first trials should be spread as well, or where some trials
        lack some of them (they count as having the first choice there); None: those that all
        trials have had. Parameters with endless choices are drawn at random.

    Two attributes may be set while a study goes on, each by the number of an objective. `noise`:
    the standard deviation of one evaluation, where repeats tell it; else it is learnt from the
    values. `evidence`: trainings of every length and seed that bear on it, where there is more to
    say than one value for each point; their codes are those of all parameters in their order.
    `prospect` is to be read: what was gained, and what may be left to gain, as of the last proposal
    (see `Suggestion`), whose trial is marked with it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        knowledge: Knowledge | None = None,
        start: int = 12,
        pool: int = 100_000,
        space: Mapping[str, BaseDistribution] | None = None,
    ) -> None:
        self._seed = seed
        self._knowledge = knowledge or Knowledge()
        self._start = start
        self._pool = pool
        self._space = dict(space) if space is not None else None
        self._intersection = IntersectionSearchSpace()
        self._others = RandomSampler(seed=seed)
        self._acquisition: Acquisition | None = None
        self._lock = threading.Lock()
        self.noise: dict[int, float] = {}
        self.evidence: dict[int, TargetedEvidence] = {}
        self.prospect: Prospect | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_lock": threading.Lock()}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters with finitely many choices."""
        space = self._space if self._space is not None else self._intersection.calculate(study)
        return {name: item for name, item in space.items() if _choices(item) is not None}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next point; nothing where all have been evaluated."""
        if not search_space:
            return {}
        with self._lock:  # of the threads of `study.optimize(..., n_jobs=)`
            for _ in range(_TRIES):
                values = self._propose(study, trial, search_space)
                if not values or not _is_taken(study, trial, values):
                    break
            return values

    def _propose(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next point, and note in its trial what it is and what it promises."""
        grid = Grid({name: _choices(item) or () for name, item in search_space.items()})
        if self._acquisition is None or self._acquisition.grid.parameters != grid.parameters:
            self._acquisition = Acquisition(
                grid, self._knowledge, pool=self._pool, start=self._start
            )
        observations = _observations(study, trial, grid, self.noise, strict=self._space is None)
        observations = replace(observations, evidence=self.evidence)
        if self._knowledge.settled is not None:  # what is proposed has more than will be asked for
            codes = self._knowledge.settled(observations.codes)
            observations = replace(observations, codes=codes)
        # The other cores are training networks; threads that wait for each other crawl there.
        with one_thread():
            seed = derive(self._seed, "pareto", trial.number)
            suggestion = self._acquisition.suggest(observations, seed)
        if suggestion is None:
            return {}
        values = grid.values(suggestion.codes)
        noted: dict[str, Any] = {
            PROPOSED: {name: value for name, value in values.items() if type(value) in _PLAIN}
        }
        self.prospect = suggestion.prospect
        if self.prospect is not None:
            noted[PROSPECT] = self.prospect.row
        if np.isfinite([suggestion.gain, suggestion.luck]).all():
            noted[PROMISE] = [suggestion.gain, suggestion.luck]
        for name, value in noted.items():
            study._storage.set_trial_system_attr(trial._trial_id, name, value)
        return values

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a parameter with endless choices at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Draw differently in each copy of a study that runs beside others."""
        self._others.reseed_rng()


def _choices(distribution: BaseDistribution) -> Sequence[Hashable] | None:
    """Return the choices of a parameter; None where there are endlessly many."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        return tuple(distribution.low + number * distribution.step for number in range(count))
    return None


def _is_taken(study: Study, trial: FrozenTrial, values: Mapping[str, Any]) -> bool:
    """Say whether another process has proposed the same meanwhile; each then looks further."""
    proposed = {name: value for name, value in values.items() if type(value) in _PLAIN}
    if len(proposed) < len(values):
        return False
    others = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return any(other.number != trial.number and _same(_values(other), proposed) for other in others)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Compare values of parameters; True is not 1."""
    return one == other and all(type(one[name]) is type(other[name]) for name in one)


def _values(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values of a trial: those that it has, and until it ends those it will have."""
    marks = trial.system_attrs
    given = {**marks.get(PROPOSED, {}), **marks.get(_FIXED, {})}
    # Of equal choices the one that was given, not the first.
    values = {
        name: given[name] if name in given and given[name] == value else value
        for name, value in trial.params.items()
    }
    return values if trial.state.is_finished() else given | values


def _observations(
    study: Study, trial: FrozenTrial, grid: Grid, noise: Mapping[int, float], *, strict: bool
) -> Observations:
    """Read the trials of a study but the new one; strict: as of `Grid.codes`."""
    sign = np.array([1.0 if way != StudyDirection.MAXIMIZE else -1.0 for way in study.directions])
    codes: list[Codes] = []
    costs: list[Floats] = []
    failed: list[bool] = []
    for other in study.get_trials(deepcopy=False):
        values = _values(other)
        if other.number == trial.number or not values:
            continue
        try:
            codes.append(grid.codes(values, strict=strict))
        except (KeyError, ValueError):  # of another space, or its parameters are still drawn
            continue
        whole = other.state == TrialState.COMPLETE
        costs.append(sign * np.array(other.values) if whole else np.full(len(sign), np.nan))
        failed.append(other.state in {TrialState.FAIL, TrialState.PRUNED})
    return Observations(
        np.array(codes, dtype=np.int64).reshape(-1, len(grid.sizes)),
        np.array(costs, dtype=np.float64).reshape(-1, len(sign)),
        np.array(failed, dtype=np.bool_),
        noise,
    )
