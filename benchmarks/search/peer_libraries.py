"""The samplers of other libraries under our interface, each by an adapter."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.search.searcher import Codes, Pair
from benchmarks.search.table import Floats, Table, Whole, neighbours
from nas.base.errors import SpecError
from nas.study.front.pareto import non_dominated


class OfPymoo:
    """pymoo's NSGA-II with a whole generation out at once: it waits for the last one to end."""

    def __init__(self, table: Table, population: int, seed: int) -> None:
        with _package("pymoo"):
            from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
            from pymoo.core.mixed import (
                MixedVariableDuplicateElimination,
                MixedVariableMating,
                MixedVariableSampling,
            )
            from pymoo.core.population import Population
            from pymoo.core.problem import Problem
            from pymoo.core.termination import NoTermination
            from pymoo.core.variable import Choice, Integer
            from pymoo.operators.crossover.sbx import SBX
            from pymoo.operators.crossover.ux import UX
            from pymoo.operators.mutation.pm import PM
            from pymoo.operators.mutation.rm import ChoiceRandomMutation
            from pymoo.operators.repair.rounding import RoundingRepair
            from pymoo.operators.selection.tournament import TournamentSelection
        variables = {
            name: Choice(options=range(size)) if nominal else Integer(bounds=(0, size - 1))
            for name, size, nominal in zip(
                table.parameters, table.sizes, table.nominal, strict=True
            )
        }
        # Choices are mutated one by one, each with a half of chance by default.
        share = 1.0 / len(variables)
        mating = MixedVariableMating(
            selection=TournamentSelection(func_comp=binary_tournament),
            crossover={Choice: UX(), Integer: SBX(vtype=float, repair=RoundingRepair())},
            mutation={
                Choice: ChoiceRandomMutation(prob_var=share),
                Integer: PM(vtype=float, repair=RoundingRepair(), prob_var=share),
            },
            eliminate_duplicates=MixedVariableDuplicateElimination(),
        )
        self._algorithm = NSGA2(
            pop_size=population,
            sampling=MixedVariableSampling(),
            mating=mating,
            eliminate_duplicates=MixedVariableDuplicateElimination(),
        )
        self._algorithm.setup(
            Problem(vars=variables, n_obj=2), termination=NoTermination(), seed=seed
        )
        self._population = Population
        self._names = list(variables)
        self._rest: list[Any] = []  # of the generation, not yet asked for
        self._out: dict[int, Any] = {}
        self._told: list[Any] = []

    def ask(self, number: int) -> Codes | None:
        if not self._rest and not self._out:
            if self._told:
                self._algorithm.tell(infills=self._population.create(*self._told))
            self._told = []
            self._rest = list(self._algorithm.ask())
        if not self._rest:
            return None
        individual = self._out[number] = self._rest.pop(0)
        return tuple(int(individual.X[name]) for name in self._names)

    def note(self, number: int, codes: Codes) -> None:
        """It has no place for a network that is not of its generation."""

    def tell(self, number: int, costs: Pair | None) -> None:
        individual = self._out.pop(number, None)
        if individual is not None and costs is not None:
            individual.F = np.array(costs)
            self._told.append(individual)


class OfSyneTune:
    """Syne Tune's multi-objective regularised evolution (MO-REA).

    Its MO-ASHA stops trainings early; where an evaluation has one level it draws at random.
    """

    def __init__(self, table: Table, population: int, tournament: int, seed: int) -> None:
        with _package("syne-tune"):
            from syne_tune.config_space import choice, randint
            from syne_tune.optimizer.schedulers.multiobjective import (
                multi_objective_regularized_evolution as module,
            )
        space = {
            name: choice(list(range(size))) if nominal else randint(0, size - 1)
            for name, size, nominal in zip(
                table.parameters, map(int, table.sizes), table.nominal, strict=True
            )
        }
        np.random.seed(seed)  # its first networks come from the global generator
        self._searcher = module.MultiObjectiveRegularizedEvolution(
            space, population_size=population, sample_size=tournament, random_seed=seed
        )
        self._names = list(space)
        self._out: dict[int, dict[str, int]] = {}

    def ask(self, number: int) -> Codes:
        found = self._out[number] = dict(self._searcher.suggest())
        return tuple(int(found[name]) for name in self._names)

    def note(self, number: int, codes: Codes) -> None:
        self._out[number] = dict(zip(self._names, codes, strict=True))

    def tell(self, number: int, costs: Pair | None) -> None:
        found = self._out.pop(number)
        if costs is not None:
            self._searcher.on_trial_complete(number, found, list(costs))


class OfBoTorch:
    """BoTorch's qLogNEHVI on a mixed Gaussian process of the loss; the cost is taken as known.

    The process sees the codes (nominal ones by the kernel for categories) and the logarithms of
    the cost and of the free figures. The acquisition is maximised over networks drawn at random
    and changes of the front, and then climbed by single changes, as
    `optimize_acqf_discrete_local_search` does, which knows nothing of derived inputs.
    """

    STARTUP, DRAWN, CLIMBS, STEPS = 12, 500, 3, 30

    def __init__(self, table: Table, seed: int) -> None:
        with _package("botorch"):
            import botorch  # noqa: F401
            import torch
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self._table = table
        self._rng = np.random.default_rng(seed)
        drawn = self._rng.integers(0, table.sizes, (1000, len(table.sizes)))
        figures = self._figures(drawn)
        self._low, self._high = figures.min(axis=0), figures.max(axis=0)
        self._fitted: dict[str, Any] = {}
        self._out: dict[int, Codes] = {}
        self._seen: dict[Codes, Pair] = {}

    def ask(self, number: int) -> Codes:
        if len(self._seen) < self.STARTUP:
            codes = tuple(map(int, self._rng.integers(0, self._table.sizes)))
        else:
            codes = self._best()
        self._out[number] = codes
        return codes

    def note(self, number: int, codes: Codes) -> None:
        self._out[number] = codes

    def tell(self, number: int, costs: Pair | None) -> None:
        codes = self._out.pop(number)
        if costs is not None:
            self._seen[codes] = costs

    def _figures(self, codes: Whole) -> Floats:
        """(n, 1 + free): logarithms of the cost and of the free figures."""
        return np.log(np.column_stack([self._table.cost_of(codes), self._table.free_of(codes)]))

    def _inputs(self, codes: Whole) -> Floats:
        """(n, D + 1 + free), in 0..1 but for nominal codes."""
        places = codes / np.where(self._table.nominal, 1, self._table.sizes - 1)
        figures = (self._figures(codes) - self._low) / (self._high - self._low)
        return np.column_stack([places, figures])

    def _best(self) -> Codes:
        codes, values = np.array(list(self._seen)), np.array(list(self._seen.values()))
        acquisition = self._acquisition(codes, values)
        front = codes[non_dominated(values)]
        pool = np.concatenate(
            [
                self._rng.integers(0, self._table.sizes, (self.DRAWN, len(self._table.sizes))),
                *(neighbours(row, self._table.sizes) for row in front),
            ]
        )
        best, value = self._rng.integers(0, self._table.sizes), -np.inf
        taken = {*self._seen, *self._out.values()}
        for _ in range(1 + self.CLIMBS):
            pool = np.array([row for row in np.unique(pool, axis=0) if tuple(row) not in taken])
            if not len(pool):
                break
            values = acquisition(pool)
            if values.max() <= value:
                break
            best, value = pool[values.argmax()], values.max()
            pool = neighbours(best, self._table.sizes)
        return tuple(map(int, best))

    def _acquisition(self, codes: Whole, values: Floats) -> Callable[[Whole], Floats]:
        """Codes (n, D) -> (n,), from what was observed."""
        import torch
        from botorch.acquisition.multi_objective.logei import (
            qLogNoisyExpectedHypervolumeImprovement,
        )
        from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import MixedSingleTaskGP, SingleTaskGP
        from botorch.sampling import SobolQMCNormalSampler
        from gpytorch.mlls import ExactMarginalLogLikelihood

        inputs = torch.tensor(self._inputs(codes))
        gains = torch.tensor(-values[:, :1])
        nominal = [int(each) for each in np.flatnonzero(self._table.nominal)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = (
                MixedSingleTaskGP(inputs, gains, cat_dims=nominal)
                if nominal
                else SingleTaskGP(inputs, gains)
            )
            if self._fitted:  # go on from the last fit, as long runs do
                model.load_state_dict(self._fitted, strict=False, keep_transforms=False)
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": self.STEPS if self._fitted else 200}},
            )
        self._fitted = {
            name: value
            for name, value in model.state_dict().items()
            if not name.startswith("outcome_transform")
        }
        place, low, high = len(self._table.sizes), self._low[0], self._high[0]

        def objective(samples: Any, X: Any) -> Any:  # noqa: N803
            cost = torch.exp(X[..., place] * (high - low) + low)
            return torch.stack([samples[..., 0], (-cost).expand(samples.shape[:-1])], dim=-1)

        front = values[non_dominated(values)]
        nadir = front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
        pending = [self._inputs(np.array([each])) for each in self._out.values()]
        function = qLogNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=(-nadir).tolist(),
            X_baseline=inputs,
            X_pending=torch.tensor(np.concatenate(pending)) if pending else None,
            sampler=SobolQMCNormalSampler(torch.Size([64]), seed=int(self._rng.integers(2**31))),
            objective=GenericMCMultiOutputObjective(objective),
            prune_baseline=True,
        )

        def value(asked: Whole) -> Floats:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parts = torch.split(torch.tensor(self._inputs(asked)).unsqueeze(1), 256)
                return np.asarray(torch.cat([function(part) for part in parts]))

        return value


class OfNeps:
    """NePS' Bayesian optimisation, which takes qLogNEHVI where there are two objectives.

    Its multi-fidelity algorithms, and those that start from a prior, have nothing to work with
    here.
    """

    STARTUP = 12

    def __init__(self, table: Table, seed: int) -> None:
        with _package("neural-pipeline-search"):
            import neps
            import torch
            from neps.optimizers.algorithms import bayesian_optimization
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        space = neps.SearchSpace(
            {
                name: neps.HPOCategorical(list(map(str, range(size))))
                if nominal
                else neps.HPOInteger(0, size - 1)
                for name, size, nominal in zip(
                    table.parameters, map(int, table.sizes), table.nominal, strict=True
                )
            }
        )
        self._optimiser = neps.AskAndTell(
            bayesian_optimization(space, initial_design_size=self.STARTUP)
        )
        self._names = list(table.parameters)
        self._out: dict[int, Any] = {}

    def ask(self, number: int) -> Codes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._out[number] = self._optimiser.ask()
        return tuple(int(trial.config[name]) for name in self._names)

    def note(self, number: int, codes: Codes) -> None:
        """It has no place for a network that is out but was not asked for."""

    def tell(self, number: int, costs: Pair | None) -> None:
        trial = self._out.pop(number, None)
        if trial is None:
            return
        if costs is None:
            del self._optimiser.trials[trial.id]
        else:
            self._optimiser.tell(trial, {"objective_to_minimize": list(costs)})


@contextmanager
def _package(name: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise SpecError(f"{name} cannot be imported ({error}); pip install {name}") from error
