"""New architectures from an Optuna sampler, without what a search cannot use."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.belief.grid import Codes, Grid
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.objective import Objective
from nas.strategy.samplers import make_sampler
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.samplers.pareto import (
    PROMISE,
    PROPOSED,
    Knowledge,
    ParetoSampler,
    TargetedEvidence,
    balanced_design,
)
from nas.strategy.storage.store import StoredTrial
from nas.study.prospect import Prospect
from nas.study.record import COMPLETE, RUNNING

__all__ = ["Proposer"]

_DRAWS = 64  # of the sampler, before a random architecture is taken instead
_RANDOM_DRAWS = 5000
_START = 8  # networks beside the hand-placed ones before `pareto` has a model, at least
_DESIGNED = 30  # of a search that is long enough: half of its networks

Values = Mapping[str, str]


class Proposer:
    """A sampler that is drawn from until an architecture is new and within the known limits.

    The sampler works on a study of its own in memory: duplicates, repairs and refusals happen
    there and never reach the store, which gets one write for a whole proposal. So a search that is
    interrupted proposes what it would have, but for samplers that learn from refused draws.

    sampler: a name of `SAMPLERS`.
    admit: says whether an architecture keeps the limits that are known without measuring.
    figures: what is known of all networks without evaluating; for `pareto`.
    focus: objective -> from where to where it matters; for `pareto`.
    trials: networks that the search will evaluate; half of them make the design of `pareto`.
    """

    def __init__(
        self,
        candidates: Candidates,
        objectives: Sequence[Objective],
        *,
        sampler: str,
        seed: int,
        admit: Callable[[Architecture], bool],
        figures: SpaceFigures | None = None,
        focus: Mapping[str, Sequence[float]] | None = None,
        trials: int = 0,
    ) -> None:
        self._candidates = candidates
        self._trials = trials
        self._sampler = sampler
        self._seed = seed
        self._admit = admit
        self._study = optuna.create_study(
            directions=["minimize" if item.minimise else "maximize" for item in objectives]
        )
        self._numbers: dict[str, int] = {}
        self._values: dict[str, list[float]] = {}
        self._pareto = None
        if sampler == "pareto":
            self._pareto = self._make_pareto(objectives, figures, focus or {})

    def _make_pareto(
        self,
        objectives: Sequence[Objective],
        figures: SpaceFigures | None,
        focus: Mapping[str, Sequence[float]],
    ) -> ParetoSampler:
        """Make the one sampler that knows the space; it is kept, with what it has fitted."""
        parameters = self._candidates.parameters()
        knowledge = figures.knowledge(objectives) if figures is not None else Knowledge()
        bounds = {
            number: sorted(item.sign * bound for bound in focus[item.name])
            for number, item in enumerate(objectives)
            if item.name in focus
        }
        placed = len(self._candidates.references())
        start = max(placed + _START, min(placed + _DESIGNED, self._trials // 2))
        knowledge = replace(
            knowledge,
            focus={number: (low, high) for number, (low, high) in bounds.items()},
            design=self._design(knowledge, start - placed),
        )
        return ParetoSampler(
            seed=derive(self._seed, "sampler") % 2**32,
            knowledge=knowledge,
            start=start,
            space={name: CategoricalDistribution(items) for name, items in parameters.items()},
        )

    def _design(self, knowledge: Knowledge, count: int) -> Codes | None:
        """Return the networks to begin with; None where nothing is known of the sites."""
        if knowledge.places is None:
            return None
        first = next(iter(knowledge.objectives.values()), None)
        grid = self._grid
        return balanced_design(
            grid,
            knowledge.places,
            count,
            cost=None if first is None else lambda codes: first(grid.columns(codes)),
            settled=knowledge.settled,
            seed=derive(self._seed, "design") % 2**32,
        )

    @property
    def _grid(self) -> Grid:
        return Grid(self._candidates.parameters())

    def codes(self, architecture: Architecture) -> Codes | None:
        """Return the codes (d,) that evidence has of an architecture; None outside the space."""
        values = self._candidates.values(architecture)
        return None if values is None else self._grid.codes(values, strict=False)

    def learn_evidence(self, evidence: Mapping[int, TargetedEvidence]) -> None:
        """Let the sampler know of every training, of whichever length and seed.

        evidence: objective, by its number -> what bears on it; its codes are those of `codes`.
        """
        if self._pareto is not None:
            self._pareto.evidence = dict(evidence)

    @property
    def regret(self) -> dict[str, float]:
        """The gain in loss and accuracy that the last proposal's belief still expected.

        Empty or NaN where it is not known.
        """
        prospect = self.prospect
        if prospect is None:
            return {}
        return {"loss": prospect.regret, "accuracy": prospect.regret * prospect.per_loss}

    @property
    def prospect(self) -> Prospect | None:
        """The last proposal's belief about the best network; None where it is not known."""
        return None if self._pareto is None else self._pareto.prospect

    def propose(
        self, number: int, taken: Mapping[str, object], *, at_random: bool
    ) -> tuple[Architecture, Values] | None:
        """Return a new architecture and its values; None when nothing new is found.

        number: of the trial that it is for.
        taken: digests that are not new.
        at_random: whether to leave the sampler out, as at the start; but `pareto` has a start of
            its own.
        """
        rng = random.Random(derive(self._seed, "draw", number))
        self._study.sampler = self._pareto or make_sampler(
            self._sampler, derive(self._seed, "sampler", number) % 2**32
        )
        at_random = at_random and self._pareto is None
        for _ in range(0 if at_random else _DRAWS):
            drawn, values = self._suggest(None)
            limited = self._candidates.limit_insertions(values, rng)
            if limited != values:
                self._study.tell(drawn, state=TrialState.FAIL)
                drawn, values = self._suggest(limited)
            architecture = self._candidates.architecture(values)
            if architecture.digest not in taken and self._admit(architecture):
                self._numbers[architecture.digest] = drawn
                return architecture, values
            # A sampler that comes back to a taken architecture learns its values once more.
            self._tell(drawn, self._values.get(architecture.digest))
        for _ in range(_RANDOM_DRAWS):
            values = self._candidates.sample(rng)
            architecture = self._candidates.architecture(values)
            if architecture.digest not in taken and self._admit(architecture):
                self.note(architecture, values)
                return architecture, values
        return None

    def note(self, architecture: Architecture, values: Values) -> None:
        """Let the sampler know of an architecture that was decided without it."""
        self._numbers[architecture.digest] = self._suggest(values)[0]

    def tell(self, digest: str, values: list[float] | None) -> None:
        """Let the sampler know the values of an architecture that was proposed or noted.

        Told again, they replace what was told before, as when an estimate gives way to the truth.

        values: one per objective; None: it failed.
        """
        if digest not in self._numbers or (values and self._values.get(digest) == values):
            return
        number = self._numbers[digest]
        if self._study.get_trials(deepcopy=False)[number].state.is_finished():
            self._correct(number, values)
        else:
            self._tell(number, values)
        if values is None:
            self._values.pop(digest, None)
        else:
            self._values[digest] = values

    def learn_noise(self, noise: Mapping[int, float]) -> None:
        """Let the sampler know how noisy evaluations are.

        noise: objective, by its number -> standard deviation of one evaluation.
        """
        if self._pareto is not None:
            self._pareto.noise = dict(noise)

    @property
    def futile_proposals(self) -> int:
        """The length of the latest run of proposals that promised less than luck would bring.

        Luck is what evaluating a member of the front once more would seem to gain by noise
        alone. 0 while no repeats have told how noisy evaluations are.
        """
        if self._pareto is None or not self._pareto.noise:
            return 0
        promises = [
            trial.system_attrs[PROMISE]
            for trial in self._study.get_trials(deepcopy=False)
            if PROMISE in trial.system_attrs
        ]
        count = 0
        for gain, luck in reversed(promises):
            if gain >= luck:
                break
            count += 1
        return count

    def _correct(self, number: int, values: list[float] | None) -> None:
        """Change the values of a finished trial, which Optuna would not.

        This study is ours alone and in memory, so the trial itself is changed: another study
        with the new values costs 0.7 ms for each of its trials.
        """
        trial = self._study.get_trials(deepcopy=False)[number]
        trial.values = values
        trial.state = TrialState.FAIL if values is None else TrialState.COMPLETE

    def marks(self, digest: str) -> dict[str, Any]:
        """Return what the sampler noted of an architecture (NSGA-II: its generation).

        Its values stand in the study anyway.
        """
        if digest not in self._numbers:
            return {}
        trials = self._study.get_trials(deepcopy=False)
        marks = trials[self._numbers[digest]].system_attrs
        return {name: value for name, value in marks.items() if name != PROPOSED}

    def restore(self, stored: StoredTrial, values: list[float] | None) -> None:
        """Take up a first evaluation from the store.

        values: one per objective when it is complete, else None.
        Raises SpecError when the space does not hold it, as after the space file was changed.
        """
        record = stored.record
        if not stored.params:
            return
        self._numbers[record.digest] = len(self._study.get_trials(deepcopy=False))
        if values is not None:
            self._values[record.digest] = values
        choices = self._choices(stored.params, record.trial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.add_trial(
                create_trial(
                    state=_STATES.get(record.state, TrialState.FAIL),
                    values=values,
                    params=dict(stored.params),
                    distributions={
                        name: CategoricalDistribution(choices[name]) for name in stored.params
                    },
                    system_attrs=dict(stored.marks),
                )
            )

    def _choices(self, params: Values, trial: int) -> dict[str, tuple[str, ...]]:
        head = {name: params.get(name, "") for name in self._candidates.head}
        choices = self._candidates.parameters_given(head)
        for name, label in params.items():
            if label not in choices.get(name, ()):
                raise SpecError(
                    f"trial {trial} of the study has {label!r} at {name}, which the space "
                    f"{self._candidates.space.name!r} does not hold; go on with the space that the "
                    "search was begun with, or begin another"
                )
        return choices

    def _suggest(self, fixed: Values | None) -> tuple[int, Values]:
        """Add a trial filled in by the sampler, or with values that were decided (`fixed`)."""
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask()
        values: dict[str, str] = {}
        for name, choices in self._candidates.head.items():
            values[name] = trial.suggest_categorical(name, choices)
        for name, choices in self._candidates.parameters_given(values).items():
            values[name] = trial.suggest_categorical(name, choices)
        return trial.number, values

    def _tell(self, number: int, values: list[float] | None) -> None:
        if values is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, values)


_STATES = {COMPLETE: TrialState.COMPLETE, RUNNING: TrialState.RUNNING}
