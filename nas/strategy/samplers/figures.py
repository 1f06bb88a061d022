"""The cost of all networks of a space, without building any: sums over their decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.belief.grid import Codes, Columns, Floats
from nas.belief.terms import Place
from nas.latency.profile import BackboneLatencies, Profile, correct
from nas.models.candidates import Candidates
from nas.models.choice_costs import COUNTED, ChoiceCosts
from nas.models.decisions import Decision
from nas.models.site_locations import site_locations
from nas.spec.architecture import Architecture
from nas.spec.objective import Objective
from nas.spec.prior import Rules
from nas.spec.task import Task
from nas.strategy.samplers.pareto import Feature, Knowledge

__all__ = ["SpaceFigures"]


@dataclass(frozen=True, eq=False)
class _BackboneFigures:
    """A plain network, and what every choice of each of its parameters adds.

    head: parameter -> code, of those that choose the plain network.
    plain: (3,) its parameters, multiply-adds and blocks.
    added: parameter -> (choices, 3) the same, of each choice.
    measured: what a device profile holds of it; None without a profile.
    added_ms: parameter -> (choices, 2) milliseconds and blocks, of the device profile.
    saved: parameter -> (choices, 1) what the rules of another search expect a choice to save.
    sharing: parameter -> decision, where equal blocks of a stage have the same weights; else empty.
    """

    head: Mapping[str, int]
    plain: Floats
    added: Mapping[str, Floats]
    measured: BackboneLatencies | None
    added_ms: Mapping[str, Floats]
    saved: Mapping[str, Floats]
    sharing: Mapping[str, Decision]


class SpaceFigures:
    """The figures of networks that need no evaluation.

    Networks are given as columns: parameter -> (n,) numbers of its choices. Parameters,
    multiply-adds and blocks are exact, since blocks keep the shape of their map; latencies are
    those of a device profile.

    profile: None: latencies are not known.
    Raises SpecError when the profile does not hold the space.
    """

    def __init__(self, candidates: Candidates, *, task: Task, profile: Profile | None) -> None:
        self._candidates = candidates
        self._profile = profile
        self._names = tuple(candidates.parameters())
        self._costs_of = ChoiceCosts(task)
        self._branches = [self._branch(plain) for plain, _ in candidates.plains()]

    def __contains__(self, name: str) -> bool:
        """Say whether an objective is known without evaluating."""
        return name in {"params", "macs"} or (name == "latency_ms" and self._profile is not None)

    def figure(self, name: str) -> Feature:
        """Return a function that computes one figure of many networks at once.

        name: `params`, `macs`, `blocks` or `latency_ms`.
        """
        if name == "latency_ms":
            return self._latencies
        number = COUNTED.index(name)
        return lambda columns: self._costs(columns)[:, number]

    def with_prior(self, rules: Rules) -> SpaceFigures:
        """Add a figure: what the rules of another search expect a network to save.

        A model may find it to say much or nothing: wrong rules cost it some networks at most.
        """
        figures = copy(self)
        figures._branches = [
            replace(branch, saved=self._expected_savings(plain, rules))
            for branch, (plain, _) in zip(self._branches, self._candidates.plains(), strict=True)
        ]
        return figures

    def _expected_savings(self, plain: Architecture, rules: Rules) -> Mapping[str, Floats]:
        """Return parameter -> (choices, 1)."""
        locations = site_locations(self._candidates, plain)
        savings = {}
        for name, decision in self._candidates.parameters_of(plain)[1].items():
            total = np.zeros(len(decision.choices))
            for site in decision.sites:
                total += rules.expected(locations[site.name], decision.choices)
            savings[name] = total[:, None]
        return savings

    def knowledge(self, objectives: Sequence[Objective]) -> Knowledge:
        """Return what a sampler need not learn: objectives, other figures, the space's limits."""
        space = self._candidates.space
        limits = space.constraints.model_dump(exclude_none=True)
        limits = {name: limit for name, limit in limits.items() if name in self}
        if space.max_insertions is not None:
            limits["blocks"] = space.max_insertions
        by_number = {
            number: self.figure(item.name)
            for number, item in enumerate(objectives)
            if item.name in self
        }
        rest = set(COUNTED) - {item.name for item in objectives}
        features = [self.figure(name) for name in sorted(rest)]
        if all(branch.saved for branch in self._branches):
            features.append(self._savings)
        return Knowledge(
            objectives=by_number,
            features=features,
            allowed=self.limits_check(limits) if limits else None,
            settled=self.settle if self._candidates.head else None,
            places=self._places(),
            # The first choice of every decision leaves it as the backbone comes.
            reference=np.zeros(len(self._names), dtype=np.int64),
        )

    def _places(self) -> dict[str, Place]:
        """Return where the sites of each parameter lie, in the order of the parameters."""
        places = {}
        for plain, _ in self._candidates.plains():
            decisions = self._candidates.parameters_of(plain)[1]
            last = max(1, len(decisions) - 1)
            for number, (name, decision) in enumerate(decisions.items()):
                places[name] = Place(decision.sites[0].stage, number / last, len(decision.sites))
        return {name: places.get(name, Place("", 0.0, 0)) for name in self._names}

    def limits_check(self, limits: Mapping[str, float]) -> Callable[[Columns], NDArray[np.bool_]]:
        """Return a function that says which networks (n,) keep upper limits.

        limits: figure -> the most that is allowed.
        """
        figures = {name: self.figure(name) for name in limits}

        def within(columns: Columns) -> NDArray[np.bool_]:
            rows = np.ones(len(next(iter(columns.values()))), dtype=np.bool_)
            for name, limit in limits.items():
                rows &= figures[name](columns) <= limit
            return rows

        return within

    def settle(self, codes: Codes) -> Codes:
        """Return codes (n, d) with the first choice at parameters of other plain networks."""
        columns = dict(zip(self._names, codes.T, strict=True))
        settled = np.zeros_like(codes)
        for branch, rows in self._of_branches(columns):
            for number, name in enumerate(self._names):
                if name in branch.added or name in branch.head:
                    settled[rows, number] = codes[rows, number]
        return settled

    # Tables of what each choice adds.

    def _branch(self, plain: Architecture) -> _BackboneFigures:
        head, decisions = self._candidates.parameters_of(plain)
        choices = self._candidates.head
        measured = self._profile.branch(plain) if self._profile is not None else None
        added_ms = {}
        if self._profile is not None and measured is not None:
            for name, decision in decisions.items():
                sites = [site.name for site in decision.sites]
                added_ms[name] = self._profile.choices(measured, sites, decision.choices)
        return _BackboneFigures(
            head={name: choices[name].index(value) for name, value in head.items()},
            plain=self._costs_of.plain(plain),
            added={
                name: self._costs_of.added(plain, decision) for name, decision in decisions.items()
            },
            measured=measured,
            added_ms=added_ms,
            saved={},
            sharing=decisions if self._candidates.space.share is not None else {},
        )

    # Sums over the decisions of many networks.

    def _of_branches(self, columns: Columns) -> list[tuple[_BackboneFigures, NDArray[np.bool_]]]:
        """Return each branch with the networks (n,) that are of it."""
        count = len(next(iter(columns.values())))
        branches = []
        for branch in self._branches:
            rows = np.ones(count, dtype=np.bool_)
            for name, code in branch.head.items():
                rows &= columns[name] == code
            branches.append((branch, rows))
        return branches

    def _costs(self, columns: Columns) -> Floats:
        """Return parameters, multiply-adds and blocks, (n, 3)."""
        total = np.zeros((len(next(iter(columns.values()))), len(COUNTED)))
        for branch, rows in self._of_branches(columns):
            total[rows] = branch.plain + _summed(branch.added, columns, rows, len(COUNTED))
            if branch.sharing:
                chosen = {name: columns[name][rows] for name in branch.sharing}
                total[rows, COUNTED.index("params")] -= ChoiceCosts.shared(branch.sharing, chosen)
        return total

    def _savings(self, columns: Columns) -> Floats:
        """Return what the prior expects networks to save, (n,), in spreads of its losses."""
        total = np.zeros(len(next(iter(columns.values()))))
        for branch, rows in self._of_branches(columns):
            total[rows] = _summed(branch.saved, columns, rows, 1)[:, 0]
        return total

    def _latencies(self, columns: Columns) -> Floats:
        """Return latencies (n,), milliseconds."""
        assert self._profile is not None
        total = np.zeros(len(next(iter(columns.values()))))
        for branch, rows in self._of_branches(columns):
            assert branch.measured is not None
            added, blocks = _summed(branch.added_ms, columns, rows, 2).T
            plain = np.full(len(added), branch.measured.plain_ms)
            total[rows] = correct(self._profile.correction, plain, added, blocks)[0]
        return total


def _summed(
    tables: Mapping[str, Floats], columns: Columns, rows: NDArray[np.bool_], width: int
) -> Floats:
    total = np.zeros((int(rows.sum()), width))
    for name, table in tables.items():
        total += table[columns[name][rows]]
    return total
