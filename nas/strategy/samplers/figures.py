"""What all networks of a space cost, without building any: sums over their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from nas.backbones import Site
from nas.blocks import block_named
from nas.latency.profile import BackboneLatencies, Profile, correct
from nas.models.candidates import Candidates
from nas.models.cost import cost, cost_of_module
from nas.models.decisions import Decision
from nas.models.site_locations import site_locations
from nas.spec.architecture import EMPTY, KEEP, Architecture, Insertion, parse_label
from nas.spec.objective import Objective
from nas.spec.prior import Rules
from nas.strategy.samplers.pareto import Feature, Knowledge
from nas.strategy.samplers.pareto.grid import Codes, Floats

__all__ = ["SpaceFigures"]

Columns = Mapping[str, Codes]

_NUMBER = 3  # parameters, multiply-adds, blocks


@dataclass(frozen=True, eq=False)
class _BackboneFigures:
    """A plain network: the codes that choose it, what it costs, (3,), and what every choice of
    each of its parameters adds: (choices, 3), (choices, 2) of its device profile, and (choices, 1)
    of what the rules of another search expect it to save.
    """

    head: Mapping[str, int]
    plain: Floats
    added: Mapping[str, Floats]
    measured: BackboneLatencies | None
    added_ms: Mapping[str, Floats]
    saved: Mapping[str, Floats]


class SpaceFigures:
    """Free figures of networks given as columns: parameter -> (n,) number of its choice.

    Parameters, multiply-adds and blocks are exact, since blocks keep the shape of their map;
    latencies are those of a device profile. Raises SpecError when it does not hold the space.
    """

    def __init__(
        self, candidates: Candidates, *, num_classes: int, profile: Profile | None
    ) -> None:
        self._candidates = candidates
        self._profile = profile
        self._names = tuple(candidates.parameters())
        self._cost_of = _block_costs()
        self._branches = [self._branch(plain, num_classes) for plain, _ in candidates.plains()]

    def __contains__(self, name: str) -> bool:
        """Whether an objective is known without evaluating."""
        return name in {"params", "macs"} or (name == "latency_ms" and self._profile is not None)

    def figure(self, name: str) -> Feature:
        """`params`, `macs`, `blocks` or `latency_ms`, of many networks at once."""
        if name == "latency_ms":
            return self._latencies
        number = ("params", "macs", "blocks").index(name)
        return lambda columns: self._added(columns)[:, number]

    def with_prior(self, rules: Rules) -> SpaceFigures:
        """With one figure more: what the rules of another search expect a network to save.

        A model may find it to say much or nothing: wrong rules cost it some networks at most.
        """
        found = copy(self)
        found._branches = [
            replace(branch, saved=self._expectations(plain, rules))
            for branch, (plain, _) in zip(self._branches, self._candidates.plains(), strict=True)
        ]
        return found

    def _expectations(self, plain: Architecture, rules: Rules) -> Mapping[str, Floats]:
        """Parameter -> (choices, 1)."""
        lying = site_locations(self._candidates, plain)
        found = {}
        for name, place in self._candidates.parameters_of(plain)[1].items():
            total = np.zeros(len(place.choices))
            for site in place.sites:
                total += rules.expected(lying[site.name], place.choices)
            found[name] = total[:, None]
        return found

    def knowledge(self, objectives: Sequence[Objective]) -> Knowledge:
        """What a sampler need not learn: objectives, other figures, and the space's limits."""
        space = self._candidates.space
        limits = space.constraints.model_dump(exclude_none=True)
        limits = {name: limit for name, limit in limits.items() if name in self}
        if space.max_insertions is not None:
            limits["blocks"] = space.max_insertions
        known = {
            number: self.figure(item.name)
            for number, item in enumerate(objectives)
            if item.name in self
        }
        rest = {"params", "macs", "blocks"} - {item.name for item in objectives}
        features = [self.figure(name) for name in sorted(rest)]
        if all(branch.saved for branch in self._branches):
            features.append(self._expected)
        return Knowledge(
            objectives=known,
            features=features,
            allowed=self.allowed(limits) if limits else None,
            settled=self.settled if self._candidates.head else None,
        )

    def allowed(self, limits: Mapping[str, float]) -> Callable[[Columns], NDArray[np.bool_]]:
        """Which networks keep upper limits of these figures."""
        figures = {name: self.figure(name) for name in limits}

        def within(columns: Columns) -> NDArray[np.bool_]:
            kept = np.ones(len(next(iter(columns.values()))), dtype=np.bool_)
            for name, limit in limits.items():
                kept &= figures[name](columns) <= limit
            return kept

        return within

    def settled(self, codes: Codes) -> Codes:
        """(n, d) with the first choice at parameters of other backbones and resolutions."""
        columns = dict(zip(self._names, codes.T, strict=True))
        found = np.zeros_like(codes)
        for branch, rows in self._of_branches(columns):
            for number, name in enumerate(self._names):
                if name in branch.added or name in branch.head:
                    found[rows, number] = codes[rows, number]
        return found

    # Tables.

    def _branch(self, plain: Architecture, num_classes: int) -> _BackboneFigures:
        head, places = self._candidates.parameters_of(plain)
        choices = self._candidates.head
        whole = cost(plain, num_classes=num_classes)
        blocks = len(plain.blocks)
        measured = self._profile.branch(plain) if self._profile is not None else None
        added_ms = {}
        if self._profile is not None and measured is not None:
            for name, place in places.items():
                sites = [site.name for site in place.sites]
                added_ms[name] = self._profile.choices(measured, sites, place.choices)
        return _BackboneFigures(
            head={name: choices[name].index(value) for name, value in head.items()},
            plain=np.array([whole.params, whole.macs, blocks], dtype=np.float64),
            added={name: self._table(plain, place, num_classes) for name, place in places.items()},
            measured=measured,
            added_ms=added_ms,
            saved={},
        )

    def _table(self, plain: Architecture, place: Decision, num_classes: int) -> Floats:
        """(choices, 3)."""
        rows = np.zeros((len(place.choices), _NUMBER))
        for number, label in enumerate(place.choices):
            if label != KEEP:
                for site in place.sites:
                    rows[number] += self._site(plain, site, label, num_classes)
        return rows

    def _site(self, plain: Architecture, site: Site, label: str, num_classes: int) -> Floats:
        """What a label puts into a site, without what it takes out."""
        taken = self._taken(plain, site, num_classes) if site.filled else np.zeros(_NUMBER)
        if label == EMPTY:
            return -taken
        return self._cost_of(site, label) - taken

    def _taken(self, plain: Architecture, site: Site, num_classes: int) -> Floats:
        """Of the block that a site comes with; it does not count among the inserted ones."""
        emptied = replace(plain, insertions=(Insertion(site.name, EMPTY),))
        before, after = (cost(item, num_classes=num_classes) for item in (plain, emptied))
        return np.array([before.params - after.params, before.macs - after.macs, 0.0])

    # Sums.

    def _of_branches(self, columns: Columns) -> list[tuple[_BackboneFigures, NDArray[np.bool_]]]:
        """Each branch with the networks (n,) that are of it."""
        count = len(next(iter(columns.values())))
        found = []
        for branch in self._branches:
            rows = np.ones(count, dtype=np.bool_)
            for name, code in branch.head.items():
                rows &= columns[name] == code
            found.append((branch, rows))
        return found

    def _added(self, columns: Columns) -> Floats:
        """(n, 3)."""
        total = np.zeros((len(next(iter(columns.values()))), _NUMBER))
        for branch, rows in self._of_branches(columns):
            total[rows] = branch.plain + _summed(branch.added, columns, rows, _NUMBER)
        return total

    def _expected(self, columns: Columns) -> Floats:
        """(n,) what the prior expects networks to save, in spreads of its search's losses."""
        total = np.zeros(len(next(iter(columns.values()))))
        for branch, rows in self._of_branches(columns):
            total[rows] = _summed(branch.saved, columns, rows, 1)[:, 0]
        return total

    def _latencies(self, columns: Columns) -> Floats:
        """(n,)."""
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


def _block_costs() -> Callable[[Site, str], Floats]:
    """Cost of a block at a site, counted once for all sites with such a map."""
    known: dict[tuple[object, ...], Floats] = {}

    def cost_of(site: Site, label: str) -> Floats:
        key = (site.channels, site.height, site.width, label)
        if key not in known:
            name, options = parse_label(label)
            block = block_named(name)
            with torch.random.fork_rng(devices=[]):
                module = block.assemble(
                    site.channels, site.height, site.width, "paper", block.complete(options)
                )
            counted = cost_of_module(module, torch.zeros(1, site.channels, site.height, site.width))
            known[key] = np.array([counted.params, counted.macs, 1.0])
        return known[key]

    return cost_of
