"""The effects of blocks, places and ratios on loss and latency, and how sure each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.belief.additive_model import AdditiveFit
from nas.belief.additive_terms import IDLE, TermDesign
from nas.belief.noise import NORMAL_QUANTILE
from nas.report.explain.contrasts import Change, Contrasts, evenly, every_label, to_architectures
from nas.spec.architecture import EMPTY, Architecture, parse_label
from nas.study.front.front import Front

__all__ = ["Effect", "Explanation"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_CONTEXTS = 16  # networks that a block is put into
_DRAWS = 4000

Option = tuple[int, int]
"""(number of a site, number of a label there)."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The mean effect of one block more, with its 95 % interval.

    subject: kind, site, stage, ratio, or site and kind.
    name: of the kind, site, stage, ratio or pair.
    saved: loss that it saves, by full training where there is a belief about that.
    latency_ms: that it adds.
    told: `helps`, `hurts`, `about nothing`, or `not known`, by the loss.
    best: probability that it saves most of its subject.
    tried: number of evaluated networks that had it.
    """

    subject: str
    name: str
    saved: float
    saved_low: float
    saved_high: float
    latency_ms: float
    latency_low: float
    latency_high: float
    told: str
    best: float
    tried: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, eq=False)
class Explanation:
    """The rules behind a front: linear models of loss and latency over the blocks of n networks.

    terms, latency_terms: of the two models.
    codes: (n, 1 + s), the network's backbone, then its label at each of s sites.
    loss: model of what a network loses.
    latency: model of how long a network takes, in ms.
    gained: log probability, by name of an interaction, that it adds when each network is predicted
        from the others.
    typical: median loss that a block saves or loses.
    """

    front: Front
    terms: TermDesign
    codes: Codes
    loss: AdditiveFit
    latency: AdditiveFit
    latency_terms: TermDesign
    gained: dict[str, float]
    typical: float

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """The effects of all kinds, stages, sites and ratios, and of sites with kinds."""
        terms = self.terms
        pairs = {
            f"{site}|{kind}": self._options(site=site, kind=kind)
            for site in terms.sites
            for kind in terms.kinds
        }
        return (
            *self._mean_effects("kind", {k: self._options(kind=k) for k in terms.kinds}),
            *self._mean_effects("stage", {s: self._options(stage=s) for s in terms.stages}),
            *self._mean_effects("site", {s: self._options(site=s) for s in terms.sites}),
            *self._ratio_effects(),
            *self._mean_effects("site and kind", pairs),
        )

    def effects_of(self, subject: str) -> tuple[Effect, ...]:
        """Return the effects of one subject."""
        return tuple(effect for effect in self.effects if effect.subject == subject)

    # Contrasts.

    def _options(
        self, *, kind: str | None = None, stage: str | None = None, site: str | None = None
    ) -> list[Option]:
        """Return the options that are meant; without a kind, those that put a block."""
        options = []
        for number, (name, labels) in enumerate(
            zip(self.terms.sites, self.terms.labels, strict=True)
        ):
            if site not in (None, name) or stage not in (None, self.terms.stage(name)):
                continue
            for code, label in enumerate(labels):
                if label == IDLE:
                    continue
                block = parse_label(label)[0]
                if block == kind or (kind is None and block != EMPTY):
                    options.append((number, code))
        return options

    @cached_property
    def _contexts(self) -> Codes:
        """(c, 1 + s) networks that a block is put into: its effect may depend on the others."""
        return evenly(self.codes, _CONTEXTS)

    def contrast(self, options: Sequence[Option], terms: TermDesign) -> Floats:
        """Return (d,) the change of the terms by an option, the mean over options and contexts."""
        total = np.zeros(len(terms.names))
        for site, code in options:
            before, after = self._contexts.copy(), self._contexts.copy()
            before[:, 1 + site], after[:, 1 + site] = 0, code
            total += (terms.rows(after) - terms.rows(before)).mean(axis=0)
        return total / max(1, len(options))

    def _mean_effects(self, subject: str, options: dict[str, list[Option]]) -> list[Effect]:
        options = {name: chosen for name, chosen in options.items() if chosen}
        if not options:
            return []
        return self._effects(
            subject,
            list(options),
            np.array([self.contrast(chosen, self.terms) for chosen in options.values()]),
            np.array([self.contrast(chosen, self.latency_terms) for chosen in options.values()]),
            [self._count_tried(chosen) for chosen in options.values()],
            [[(site, 0, code) for site, code in chosen] for chosen in options.values()],
        )

    def _count_tried(self, options: Sequence[Option]) -> int:
        """Return the number of evaluated networks that had one of the options."""
        had = np.zeros(len(self.codes), dtype=bool)
        for site, code in options:
            had |= self.codes[:, 1 + site] == code
        return int(had.sum())

    def _ratio_effects(self) -> list[Effect]:
        """Return the effects of going from the least of an option's values to the greatest."""
        names: list[str] = []
        rows: list[Floats] = []
        latency_rows: list[Floats] = []
        tried: list[int] = []
        changes: list[list[Change]] = []
        for name, places in self.terms.ratios.items():
            kind, option = name.split(" ")
            steps = _steps(places, option)
            ends = [parse_label(label)[1][option] for label in steps[0]]
            names.append(f"{kind} {option} {ends[0]} to {ends[1]}")
            for into, terms in ((rows, self.terms), (latency_rows, self.latency_terms)):
                into.append(np.array([float(term == ("ratio", name)) for term in terms.names]))
            tried.append(
                self._count_tried(
                    [
                        (site, code)
                        for site, labels in enumerate(self.terms.labels)
                        for code, label in enumerate(labels)
                        if label in places
                    ]
                )
            )
            changes.append(
                [
                    (site, labels.index(low), labels.index(high))
                    for site, labels in enumerate(self.terms.labels)
                    for low, high in steps
                    if low in labels and high in labels
                ]
            )
        if not names:
            return []
        return self._effects("ratio", names, np.array(rows), np.array(latency_rows), tried, changes)

    @cached_property
    def like(self) -> Architecture:
        """A network of the run: one whose blocks share weights, where any do."""
        measured = self.front.measured
        every = [measured.architecture(row) for row in range(len(measured))]
        return next((one for one in every if one.share is not None), every[0])

    @cached_property
    def contrasts(self) -> Contrasts | None:
        """Effects on the gain by full training; None where there is no belief about these."""
        belief = self.front.believed.by_run.get(None)
        if belief is None:
            return None
        like = self.like
        every = to_architectures(self.terms, every_label(self.terms, self.codes[0]), like)
        if not all(belief.seen.knows(item) for item in every):
            return None
        return Contrasts(belief, self.terms, self.codes, like)

    def _saved(
        self, rows: Floats, changes: Sequence[Sequence[Change]]
    ) -> tuple[Floats, Floats, Floats]:
        """Return mean and deviation (e,) of the loss that is saved, and draws (count, e).

        By the belief where there is one, else by the linear model.
        rows: (e, d) changes of the terms.
        """
        if self.contrasts is None or not all(changes):
            mean, deviation = self.loss.effect(rows)
            return -mean, deviation, -self.loss.draws(rows, _DRAWS)
        mean, covariance = self.contrasts.saved(changes)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        usual = np.random.default_rng(0).standard_normal((_DRAWS, len(mean)))
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        return mean, deviation, mean + usual @ root.T

    def _effects(
        self,
        subject: str,
        names: list[str],
        rows: Floats,
        latency_rows: Floats,
        tried: list[int],
        changes: Sequence[Sequence[Change]],
    ) -> list[Effect]:
        saved, deviation, drawn = self._saved(rows, changes)
        added, latency_deviation = self.latency.effect(latency_rows)
        half = NORMAL_QUANTILE * deviation
        latency_half = NORMAL_QUANTILE * latency_deviation
        best = (drawn == drawn.max(axis=1, keepdims=True)).mean(axis=0)
        low, high = saved - half, saved + half
        return [
            Effect(
                subject=subject,
                name=name,
                saved=float(saved[number]),
                saved_low=float(low[number]),
                saved_high=float(high[number]),
                latency_ms=float(added[number]),
                latency_low=float(added[number] - latency_half[number]),
                latency_high=float(added[number] + latency_half[number]),
                told=_judge_interval(float(low[number]), float(high[number]), self.typical),
                best=float(best[number]),
                tried=tried[number],
            )
            for number, name in enumerate(names)
        ]


def _steps(places: Mapping[str, float], option: str) -> list[tuple[str, str]]:
    """Return the pairs of labels from the least value of an option to the greatest.

    Those that are alike in all other options; where none are, all of them.
    places: of each label, on the scale of the option.
    """
    least, most = min(places.values()), max(places.values())
    pairs = [
        (low, high)
        for low in places
        for high in places
        if (places[low], places[high]) == (least, most)
    ]

    def others(label: str) -> dict[str, object]:
        return {name: value for name, value in parse_label(label)[1].items() if name != option}

    return [(low, high) for low, high in pairs if others(low) == others(high)] or pairs


def _judge_interval(low: float, high: float, typical: float) -> str:
    """Return `Effect.told` of an interval of the loss saved.

    typical: loss that a block usually saves or loses; half of that is about nothing.
    """
    if low > 0:
        return "helps"
    if high < 0:
        return "hurts"
    return "about nothing" if max(-low, high) < typical / 2 else "not known"
