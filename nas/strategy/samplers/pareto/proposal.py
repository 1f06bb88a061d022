"""Which point to evaluate next: the one expected to add most hypervolume to the front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.strategy.samplers.pareto.beliefs import (
    Columns,
    Feature,
    KnownObjective,
    ModelledObjective,
    Objective,
    Posterior,
)
from nas.strategy.samplers.pareto.grid import Codes, Floats, Grid
from nas.strategy.samplers.pareto.model import Inputs, Kernel, fit
from nas.strategy.samplers.pareto.scale import Scale

__all__ = ["Knowledge", "Observations", "Proposal", "Suggestion"]

_FIT = 200  # points that hyperparameters are fitted to, at most
_GROWTH = 1.1  # of the number of points, between two fits
_JUDGED = 2000  # of the pool, by all points
_PARENTS = 64  # whose neighbourhoods are searched further
_ROUNDS = 3
_MARGIN = 0.05  # of the reference point beyond the worst
_DRAWN = 4096  # at random, where no model asks for more


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What is known without evaluating: whole objectives, by number; further figures; and what
    may be evaluated at all, columns -> (n,) bool.

    focus: objective -> from where to where its costs matter.
    settled: (n, d) -> (n, d) with the first choice wherever a parameter has no bearing because
    of another one's choice, so that equal candidates are equal points.
    """

    objectives: Mapping[int, Feature] = field(default_factory=dict)
    features: Sequence[Feature] = ()
    allowed: Callable[[Columns], NDArray[np.bool_]] | None = None
    settled: Callable[[Codes], Codes] | None = None
    focus: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Observations:
    """codes: (n, d), in the order that they were proposed in. costs: (n, m), minimised; NaN
    where it is not known yet. failed: (n,) and never will be: networks over a limit that only
    measuring tells, mostly, which a model takes for as bad as any that there are.
    noise: objective -> standard deviation of one evaluation, where repeats have told it.
    """

    codes: Codes
    costs: Floats
    failed: NDArray[np.bool_]
    noise: Mapping[int, float] = field(default_factory=dict)

    @property
    def done(self) -> NDArray[np.bool_]:
        """(n,) all of whose costs are known."""
        return np.asarray(np.isfinite(self.costs).all(axis=1) & ~self.failed)

    def at_worst(self) -> Floats:
        """Costs (n, m) where failed ones have the worst of each objective."""
        worst = self.costs[self.done].max(axis=0)
        return np.where(self.failed[:, None], worst, self.costs)


@dataclass(frozen=True, eq=False)
class Suggestion:
    """codes: (d,). gain: hypervolume that it is expected to add, on the scales of the objectives.
    luck: what evaluating a member of the front once more is expected to seem to add, by noise
    alone. Both NaN where no model was asked.
    """

    codes: Codes
    gain: float = np.nan
    luck: float = np.nan


class Proposal:
    """Proposes points of a grid. The same evaluations, coming in the same order, give the same
    proposals, whether they were made by this object or an earlier one. It keeps what it has fitted:
    values that change later, as those of a rung or by further seeds, tell on the next fit.

    pool: points that are screened for each proposal.
    """

    def __init__(self, grid: Grid, knowledge: Knowledge, *, pool: int, start: int) -> None:
        self.grid = grid
        self.knowledge = knowledge
        self.start = start
        self._pool = pool
        rng = np.random.default_rng(0)
        some = grid.every() if grid.volume <= pool else grid.random(_DRAWN, rng)
        figures = self._figures(some)
        self._logarithmic = (figures > 0).all(axis=0)
        self._least = figures.min(axis=0, initial=np.inf)
        figures = self._scaled(figures)
        self._centre, self._spread = figures.mean(axis=0), figures.std(axis=0) + 1e-12
        self._most = {
            number: float(np.max(known(grid.columns(some))))
            for number, known in knowledge.objectives.items()
        }
        self._kernels: dict[tuple[int, int, float | None], Kernel] = {}

    # Free figures.

    def _figures(self, codes: Codes) -> Floats:
        columns = self.grid.columns(codes)
        known = [*self.knowledge.objectives.values(), *self.knowledge.features]
        found = [np.asarray(item(columns), dtype=np.float64) for item in known]
        return np.stack(found, axis=1) if found else np.zeros((len(codes), 0))

    def _scaled(self, figures: Floats) -> Floats:
        """By logarithms where all those drawn at random are above 0; one that is not, such as
        the number of blocks of a network without any, counts as half of the least of them.
        """
        above = np.maximum(figures, self._least / 2)
        return np.where(self._logarithmic, np.log(np.where(self._logarithmic, above, 1.0)), figures)

    def _inputs(self, codes: Codes) -> Inputs:
        figures = (self._scaled(self._figures(codes)) - self._centre) / self._spread
        return Inputs(self.grid, codes, figures)

    # Proposals.

    def __call__(self, evaluated: Observations, seed: int) -> Suggestion | None:
        """The next point; None when every allowed one is evaluated or under way."""
        rng = np.random.default_rng(seed)
        number = len(evaluated.codes)
        if number < self.start or evaluated.done.sum() < 2:
            first = self._stratified(evaluated, rng)
            return Suggestion(first) if first is not None else None
        beliefs = self._beliefs(evaluated)
        told = evaluated.done | evaluated.failed
        pool = self._new(self._drawn(evaluated.codes[told][beliefs.front], rng), evaluated)
        if len(pool) == 0:
            return None
        gain = beliefs.gain(self._inputs(pool), rough=True)
        if self.grid.volume > self._pool:
            pool, gain = self._climbed(pool, gain, beliefs, evaluated)
        best = np.argsort(-gain, kind="stable")[:_JUDGED]
        judged = self._inputs(pool[best])
        gain = beliefs.gain(judged)
        most = float(gain.max())
        row = int(np.argmax(gain if most > 0 else beliefs.uncertainty(judged)))
        return Suggestion(judged.codes[row], most, beliefs.luck(evaluated.noise))

    def _new(self, codes: Codes, evaluated: Observations) -> Codes:
        """Distinct rows that are allowed, and neither evaluated nor under way."""
        if self.knowledge.settled is not None:
            codes = self.knowledge.settled(codes)
        keys = self.grid.keys(codes)
        _, rows = np.unique(keys, return_index=True)
        rows = np.sort(rows)
        rows = rows[~np.isin(keys[rows], self.grid.keys(evaluated.codes))]
        found = codes[rows]
        if self.knowledge.allowed is not None:
            found = found[self.knowledge.allowed(self.grid.columns(found))]
        return found

    def _drawn(self, front: Codes, rng: np.random.Generator) -> Codes:
        """All points where there are few; else neighbours of the front, its crossings, and
        random ones.
        """
        if self.grid.volume <= self._pool:
            return self.grid.every()
        share = self._pool // 4
        parents = front[rng.integers(len(front), size=2 * share)]
        near = self.grid.mutated(parents, 1 + rng.geometric(0.5, len(parents)), rng)
        mothers, fathers = (front[rng.integers(len(front), size=share)] for _ in range(2))
        crossed = np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)
        crossed = self.grid.mutated(crossed, np.ones(share, dtype=np.int64), rng)
        return np.concatenate([near, crossed, self.grid.random(share, rng)])

    def _climbed(
        self, pool: Codes, gain: Floats, beliefs: Posterior, evaluated: Observations
    ) -> tuple[Codes, Floats]:
        """With the best ones' neighbours, and theirs."""
        for _ in range(_ROUNDS):
            parents = pool[np.argsort(-gain, kind="stable")[:_PARENTS]]
            fresh = self._new(self.grid.neighbours(parents), evaluated)
            fresh = fresh[~np.isin(self.grid.keys(fresh), self.grid.keys(pool))]
            if len(fresh) == 0:
                break
            pool = np.concatenate([pool, fresh])
            gain = np.concatenate([gain, beliefs.gain(self._inputs(fresh), rough=True)])
        return pool, gain

    def _stratified(self, evaluated: Observations, rng: np.random.Generator) -> Codes | None:
        """At the start: the least in what is known for free, the most, and then what is furthest
        from all others; where nothing is known, anywhere.
        """
        count = min(self._pool, _DRAWN)
        drawn = self.grid.every() if self.grid.volume <= count else self.grid.random(count, rng)
        pool = self._new(drawn, evaluated)
        if len(pool) == 0:
            return None
        pool = pool[rng.permutation(len(pool))]
        if self._inputs(pool[:1]).features.shape[1] == 0:
            return np.asarray(pool[0])
        number = len(evaluated.codes)
        if number < 2:
            return self._extreme(pool, evaluated, fastest=number == 0)

        def figure(codes: Codes) -> Floats:
            return self._inputs(codes).features[:, 0]

        # By ranks: what a few points have in which hardly any lie is not worth half the start.
        found = figure(pool)
        order = np.sort(found)
        places = np.searchsorted(order, found)
        taken = np.searchsorted(order, figure(evaluated.codes))
        apart = np.abs(places[:, None] - taken).min(axis=1)
        return np.asarray(pool[int(np.argmax(apart))])

    def _extreme(self, pool: Codes, evaluated: Observations, *, fastest: bool) -> Codes:
        """The least or the most of what is known; it is hardly among those drawn at random."""
        sign, best, most = -1.0 if fastest else 1.0, pool[0], -np.inf
        while len(pool):
            found = sign * self._inputs(pool).features[:, 0]
            if found.max() <= most:
                break
            best, most = pool[int(np.argmax(found))], found.max()
            pool = self._new(self.grid.neighbours(best[None]), evaluated)
        return np.asarray(best)

    # Beliefs.

    def _beliefs(self, evaluated: Observations) -> Posterior:
        told = evaluated.done | evaluated.failed
        inputs, costs = self._inputs(evaluated.codes[told]), evaluated.at_worst()[told]
        pending = self._inputs(evaluated.codes[~told])
        objectives: list[Objective] = []
        for number in range(costs.shape[1]):
            known = self.knowledge.objectives.get(number)
            if known is not None:
                objectives.append(KnownObjective(known))
                continue
            kernel = self._kernel(number, inputs, costs[:, number], evaluated.noise.get(number))
            objectives.append(ModelledObjective.of(kernel, inputs, costs, number, pending))
        least = np.full(costs.shape[1], -np.inf)
        most = self._reference(costs)
        for number, focus in self.knowledge.focus.items():
            least[number], most[number] = focus
        return Posterior(objectives, most, least, inputs, pending)

    def _reference(self, costs: Floats) -> Floats:
        """A little beyond the worst of the start, and of all that is known for free."""
        start = costs[: max(2, self.start)]
        best, worst = start.min(axis=0), start.max(axis=0)
        for number, most in self._most.items():
            worst[number] = most
        return np.asarray(worst + _MARGIN * (worst - best) + 1e-9)

    def _kernel(self, number: int, inputs: Inputs, values: Floats, noise: float | None) -> Kernel:
        """Fitted anew when there are a tenth more points, to those that were there then."""
        size = max(2, self.start)
        while int(np.ceil(size * _GROWTH)) <= len(inputs):
            size = int(np.ceil(size * _GROWTH))
        size = min(size, len(inputs))
        if (number, size, noise) not in self._kernels:
            rows = np.arange(size)
            if size > _FIT:
                rows = np.sort(np.random.default_rng(size).permutation(size)[:_FIT])
            scale = Scale.of(values[:size])
            known = scale.deviation(noise) ** 2 if noise is not None else None
            self._kernels[number, size, noise] = fit(
                inputs[rows], scale.to(values[:size])[rows], noise=known
            )
        return self._kernels[number, size, noise]
