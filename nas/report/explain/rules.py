"""Effects of blocks, places and ratios on loss and latency, with what is known of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.additive_model import AdditiveFit, fit
from nas.belief.additive_terms import IDLE, INTERACTIONS, TermDesign
from nas.belief.noise import NORMAL_QUANTILE
from nas.runs.run import open_run
from nas.spec.architecture import EMPTY, Architecture, parse_label
from nas.study.front.front import Front

__all__ = ["Effect", "Explanation", "explain", "explain_front"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_LEAST = 8  # networks, for anything to be said
_MOST = 4000
_CONTEXTS = 16
_DRAWS = 4000
_REPEATED = 1e-3


@dataclass(frozen=True, slots=True)
class Effect:
    """What one block more does on average, with its 95 % interval.

    subject: kind, site, stage, ratio, or site and kind. saved: loss saved. latency_ms: added.
    told: `helps`, `hurts`, `about nothing`, or `not known`. best: probability that it saves most
    of its subject. tried: evaluated networks that had it.
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
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, eq=False)
class Explanation:
    """loss, latency: models over `terms` of what a network loses and how long it takes.

    codes: (n, 1 + s) of the evaluated networks. gained: what the interactions were worth when
    each network was predicted from the others (log probability), by name.
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
        """Of every kind, stage, site, ratio, and site with kind."""
        found: list[Effect] = []
        terms = self.terms
        by_kind = {kind: self._options(kind=kind) for kind in terms.kinds}
        found += self._measured("kind", by_kind)
        found += self._measured("stage", {s: self._options(stage=s) for s in terms.stages})
        found += self._measured("site", {s: self._options(site=s) for s in terms.sites})
        found += self._ratios()
        pairs = {
            f"{site}|{kind}": self._options(site=site, kind=kind)
            for site in terms.sites
            for kind in terms.kinds
        }
        found += self._measured("site and kind", pairs)
        return tuple(found)

    def of(self, subject: str) -> tuple[Effect, ...]:
        return tuple(item for item in self.effects if item.subject == subject)

    # Contrasts.

    def _options(
        self, *, kind: str | None = None, stage: str | None = None, site: str | None = None
    ) -> list[tuple[int, int]]:
        """Numbers of the sites and labels that are meant; without a kind, what puts a block."""
        found = []
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
                    found.append((number, code))
        return found

    @cached_property
    def _contexts(self) -> Codes:
        """Networks that a block is put into: what it does may depend on the others."""
        rows = np.linspace(0, len(self.codes) - 1, _CONTEXTS).astype(np.int64)
        return self.codes[np.unique(rows)]

    def contrast(self, options: Sequence[tuple[int, int]], terms: TermDesign) -> Floats:
        """(d,) what putting a label at a site changes, on average over options and contexts."""
        total = np.zeros(len(terms.names))
        for site, code in options:
            before, after = self._contexts.copy(), self._contexts.copy()
            before[:, 1 + site], after[:, 1 + site] = 0, code
            total += (terms.rows(after) - terms.rows(before)).mean(axis=0)
        return total / max(1, len(options))

    def _measured(self, subject: str, options: dict[str, list[tuple[int, int]]]) -> list[Effect]:
        options = {name: found for name, found in options.items() if found}
        if not options:
            return []
        return self._effects(
            subject,
            list(options),
            np.array([self.contrast(found, self.terms) for found in options.values()]),
            np.array([self.contrast(found, self.latency_terms) for found in options.values()]),
            [self._tried(found) for found in options.values()],
        )

    def _tried(self, options: Sequence[tuple[int, int]]) -> int:
        had = np.zeros(len(self.codes), dtype=bool)
        for site, code in options:
            had |= self.codes[:, 1 + site] == code
        return int(had.sum())

    def _ratios(self) -> list[Effect]:
        """From the least of an option's values to the greatest."""
        names: list[str] = []
        rows: list[Floats] = []
        others: list[Floats] = []
        tried: list[int] = []
        for name, places in self.terms.ratios.items():
            kind, option = name.split(" ")
            low, high = min(places, key=lambda k: places[k]), max(places, key=lambda k: places[k])
            ends = [parse_label(label)[1][option] for label in (low, high)]
            names.append(f"{kind} {option} {ends[0]} to {ends[1]}")
            for into, terms in ((rows, self.terms), (others, self.latency_terms)):
                into.append(np.array([float(item == ("ratio", name)) for item in terms.names]))
            labels = [
                {code for code, label in enumerate(found) if label in places}
                for found in self.terms.labels
            ]
            tried.append(self._tried([(s, c) for s, found in enumerate(labels) for c in found]))
        if not names:
            return []
        return self._effects("ratio", names, np.array(rows), np.array(others), tried)

    def _effects(
        self, subject: str, names: list[str], rows: Floats, others: Floats, tried: list[int]
    ) -> list[Effect]:
        mean, deviation = self.loss.effect(rows)
        slower, slow_deviation = self.latency.effect(others)
        drawn = -self.loss.draws(rows, _DRAWS)
        best = (drawn == drawn.max(axis=1, keepdims=True)).mean(axis=0)
        found = []
        for number, name in enumerate(names):
            saved, half = -float(mean[number]), NORMAL_QUANTILE * float(deviation[number])
            added, wide = float(slower[number]), NORMAL_QUANTILE * float(slow_deviation[number])
            found.append(
                Effect(
                    subject,
                    name,
                    saved,
                    saved - half,
                    saved + half,
                    added,
                    added - wide,
                    added + wide,
                    _told(saved - half, saved + half, self.typical),
                    float(best[number]),
                    tried[number],
                )  # fmt: skip
            )
        return found


def _told(low: float, high: float, typical: float) -> str:
    """typical: what a block saves or loses usually; half of that is about nothing."""
    if low > 0:
        return "helps"
    if high < 0:
        return "hurts"
    return "about nothing" if max(-low, high) < typical / 2 else "not known"


def explain(path: str | Path, *, device: str | Path | None = None) -> Explanation:
    """The rules of a run. device: a profile, whose latencies are taken. Raises SpecError."""
    return explain_front(open_run(path).front(device=device))


def explain_front(front: Front) -> Explanation:
    """The rules behind a front: from all of its networks. Raises SpecError where too few are
    complete, or all are alike.
    """
    columns = front.measured.columns
    known = np.flatnonzero(np.isfinite(columns["loss"]) & (columns["latency_ms"] > 0))
    if len(known) > _MOST:
        known = np.sort(np.random.default_rng(0).permutation(known)[:_MOST])
    if len(known) < _LEAST:
        raise SpecError(
            f"{len(known)} networks are complete; rules need {_LEAST} or more: let the search go on"
        )
    architectures = [front.measured.architecture(int(row)) for row in known]
    if len(TermDesign.of(architectures).sites) == 0:
        raise SpecError("no complete network has a block: there is nothing to explain")
    loss, seeds = columns["loss"][known], columns["seeds"][known].astype(np.float64)
    seeds = np.where(columns["exact"][known], 1e6, seeds)
    paired = front.paired_noise
    noise = None if math.isnan(paired) else paired
    errors = _common_errors(front, known, architectures)
    gained: dict[str, float] = {}

    def fitted(terms: TermDesign) -> AdditiveFit:
        return fit(
            terms.rows(terms.codes(architectures)), terms.groups, loss,
            seeds=seeds, noise=noise, freedom=front.noise_freedom, errors=errors,
        )  # fmt: skip

    terms = TermDesign.of(architectures)
    model = fitted(terms)
    for name in INTERACTIONS:
        more = TermDesign.of(architectures, (*terms.interactions, name))
        if len(more.names) == len(terms.names):
            continue
        richer = fitted(more)
        difference = richer.score - model.score
        gained[name] = float(difference.sum())
        # Kept where it predicts better than by chance: two standard errors of the gain.
        if gained[name] > 2 * math.sqrt(len(difference)) * float(difference.std()):
            terms, model = more, richer
    plain_terms = TermDesign.of(architectures)
    latency = fit(
        plain_terms.rows(plain_terms.codes(architectures)),
        plain_terms.groups,
        columns["latency_ms"][known],
        noise=_latency_noise(columns, known),
        freedom=4,
    )
    codes = terms.codes(architectures)
    blocks = np.maximum(terms.blocks(codes), 1)
    typical = float(np.nanmedian(np.abs(loss - _plain(front, architectures, loss)) / blocks))
    return Explanation(front, terms, codes, model, latency, plain_terms, gained, typical)


def _common_errors(
    front: Front, known: NDArray[np.int64], architectures: Sequence[Architecture]
) -> Floats:
    """(n, e) standard deviations of what the losses of several networks err by together.

    Seeds that were kind to all that was trained, beside a plain network that is none of it; and
    validation images that like what a kind of block does, in proportion to its share of the blocks.
    """
    columns = front.measured.columns
    trained = ~columns["exact"][known]
    most = max(1.0, float(columns["seeds"][known].max()))
    alike = max(0.0, np.nan_to_num(front.seed_noise**2 - front.paired_noise**2))
    found = [np.where(trained, math.sqrt(alike / most), 0.0)]
    images = np.nan_to_num(columns["image_noise"][known])
    kinds = [[block.block for block in item.blocks] for item in architectures]
    for kind in sorted({kind for mine in kinds for kind in mine}):
        share = np.array([mine.count(kind) / max(1, len(mine)) for mine in kinds])
        found.append(images * share)
    return np.column_stack(found)


def _latency_noise(columns: dict[str, NDArray[Any]], known: NDArray[np.int64]) -> float:
    """Of a measurement; a profile says the same of one network every time."""
    usual = float(np.median(columns["latency_ms"][known]))
    if columns["latency_predicted"][known].all():
        return _REPEATED * usual
    return float(np.median(columns["latency_spread"][known])) * usual


def _plain(front: Front, architectures: Sequence[Architecture], loss: Floats) -> float:
    """Loss of the plain network; without it, of the one with the fewest blocks."""
    least = min(range(len(loss)), key=lambda row: len(architectures[row].blocks))
    plain = [point.loss for point in front.references if not point.architecture.insertions]
    return plain[0] if plain else float(loss[least])
