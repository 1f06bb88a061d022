"""Which point to evaluate next: the one expected to add most hypervolume to the front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.pareto import non_dominated
from nas.samplers.pareto.grid import Codes, Floats, Grid
from nas.samplers.pareto.improvement import Known, boxes, expected_improvement
from nas.samplers.pareto.model import GaussianProcess, Inputs, Kernel, fit
from nas.samplers.pareto.scale import Scale, Skewed

__all__ = ["Evaluated", "Feature", "Knowledge", "Proposal"]

Columns = Mapping[str, Codes]
Feature = Callable[[Columns], Floats]
"""A figure that needs no evaluation, of many points at once: parameter -> (n,) codes of its
choice, to (n,)."""

_FIT = 200  # points that hyperparameters are fitted to, at most
_GROWTH = 1.1  # of the number of points, between two fits
_SCREENED = 128  # points that a pool is screened with, at most
_JUDGED = 2000  # of the pool, by all points
_PARENTS = 64  # whose neighbourhoods are searched further
_ROUNDS = 3
_BEYOND, _MARGIN = 2.0, 0.05  # of the reference point
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
class Evaluated:
    """codes: (n, d), in the order that they were proposed in. costs: (n, m), minimised; NaN
    where it is not known yet. failed: (n,) and never will be: networks over a limit that only
    measuring tells, mostly, which a model takes for as bad as any that there are.
    """

    codes: Codes
    costs: Floats
    failed: NDArray[np.bool_]

    @property
    def done(self) -> NDArray[np.bool_]:
        """(n,) all of whose costs are known."""
        return np.asarray(np.isfinite(self.costs).all(axis=1) & ~self.failed)

    def at_worst(self) -> Floats:
        """Costs (n, m) where failed ones have the worst of each objective."""
        worst = self.costs[self.done].max(axis=0)
        return np.where(self.failed[:, None], worst, self.costs)


class Proposal:
    """Proposes points of a grid. The same evaluations give the same proposals, whether they were
    made by this object or an earlier one; it keeps what it has fitted.

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
        self._kernels: dict[tuple[int, int], Kernel] = {}

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

    def __call__(self, evaluated: Evaluated, seed: int) -> Codes | None:
        """The next point, (d,); None when every allowed one is evaluated or under way."""
        rng = np.random.default_rng(seed)
        number = len(evaluated.codes)
        if number < self.start or evaluated.done.sum() < 2:
            return self._stratified(evaluated, rng)
        models = self._models(evaluated)
        told = evaluated.done | evaluated.failed
        pool = self._new(self._drawn(evaluated.codes[told][models.front()], rng), evaluated)
        if len(pool) == 0:
            return None
        gain = models.gain(self._inputs(pool), rough=True)
        if self.grid.volume > self._pool:
            pool, gain = self._climbed(pool, gain, models, evaluated)
        best = np.argsort(-gain, kind="stable")[:_JUDGED]
        judged = self._inputs(pool[best])
        gain = models.gain(judged)
        if gain.max() <= 0:
            gain = models.uncertainty(judged)
        return np.asarray(judged.codes[int(np.argmax(gain))])

    def _new(self, codes: Codes, evaluated: Evaluated) -> Codes:
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
        self, pool: Codes, gain: Floats, models: Models, evaluated: Evaluated
    ) -> tuple[Codes, Floats]:
        """With the best ones' neighbours, and theirs."""
        for _ in range(_ROUNDS):
            parents = pool[np.argsort(-gain, kind="stable")[:_PARENTS]]
            fresh = self._new(self.grid.neighbours(parents), evaluated)
            fresh = fresh[~np.isin(self.grid.keys(fresh), self.grid.keys(pool))]
            if len(fresh) == 0:
                break
            pool = np.concatenate([pool, fresh])
            gain = np.concatenate([gain, models.gain(self._inputs(fresh), rough=True)])
        return pool, gain

    def _stratified(self, evaluated: Evaluated, rng: np.random.Generator) -> Codes | None:
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

    def _extreme(self, pool: Codes, evaluated: Evaluated, *, fastest: bool) -> Codes:
        """The least or the most of what is known; it is hardly among those drawn at random."""
        sign, best, most = -1.0 if fastest else 1.0, pool[0], -np.inf
        while len(pool):
            found = sign * self._inputs(pool).features[:, 0]
            if found.max() <= most:
                break
            best, most = pool[int(np.argmax(found))], found.max()
            pool = self._new(self.grid.neighbours(best[None]), evaluated)
        return np.asarray(best)

    # Models.

    def _models(self, evaluated: Evaluated) -> Models:
        told = evaluated.done | evaluated.failed
        inputs, costs = self._inputs(evaluated.codes[told]), evaluated.at_worst()[told]
        pending = self._inputs(evaluated.codes[~told])
        objectives: list[_Known | _Learnt] = []
        for number in range(costs.shape[1]):
            known = self.knowledge.objectives.get(number)
            if known is not None:
                objectives.append(_Known(known))
                continue
            scale = Scale.of(costs[:, number])
            values = scale.to(costs[:, number])
            kernel = self._kernel(number, inputs, costs[:, number])
            process = rough = GaussianProcess.given(kernel, inputs, values, pending)
            if len(inputs) > _SCREENED:
                rows = _spread_out(costs, _SCREENED)
                rough = GaussianProcess.given(kernel, inputs[rows], values[rows], pending)
            objectives.append(_Learnt(scale, process, rough))
        return Models(objectives, self._reference(costs), self._floor(costs), inputs, pending)

    def _reference(self, costs: Floats) -> Floats:
        """The worst of the start, and of all that is known for free; but what is much worse than
        the median is no part of any front that one would want.
        """
        start = costs[: max(2, self.start)]
        best, median = start.min(axis=0), np.median(start, axis=0)
        worst = np.minimum(start.max(axis=0), median + _BEYOND * (median - best))
        for number, most in self._most.items():
            worst[number] = most
        worst += _MARGIN * (worst - best) + 1e-9
        for number, (_, most) in self.knowledge.focus.items():
            worst[number] = most
        return np.asarray(worst)

    def _floor(self, costs: Floats) -> Floats:
        floor = np.full(costs.shape[1], -np.inf)
        for number, (least, _) in self.knowledge.focus.items():
            floor[number] = least
        return floor

    def _kernel(self, number: int, inputs: Inputs, values: Floats) -> Kernel:
        """Fitted anew when there are a tenth more points, to those that were there then."""
        size = max(2, self.start)
        while int(np.ceil(size * _GROWTH)) <= len(inputs):
            size = int(np.ceil(size * _GROWTH))
        size = min(size, len(inputs))
        if (number, size) not in self._kernels:
            rows = np.arange(size)
            if size > _FIT:
                rows = np.sort(np.random.default_rng(size).permutation(size)[:_FIT])
            values = Scale.of(values[:size]).to(values[:size])
            self._kernels[number, size] = fit(inputs[rows], values[rows])
        return self._kernels[number, size]


def _spread_out(costs: Floats, count: int) -> Codes:
    """The rows nearest to the front, layer by layer, half of the count; the others evenly."""
    if len(costs) <= count:
        return np.arange(len(costs))
    left, found = np.arange(len(costs)), np.zeros(0, dtype=np.int64)
    while len(found) < count // 2:
        layer = non_dominated(costs[left])
        found, left = np.concatenate([found, left[layer]]), left[~layer]
    found = found[: count // 2]
    left = np.setdiff1d(np.arange(len(costs)), found)
    even = left[np.linspace(0, len(left) - 1, count - len(found)).astype(np.int64)]
    return np.sort(np.concatenate([found, even]))


@dataclass(frozen=True, eq=False)
class _Known:
    feature: Feature

    def belief(self, points: Inputs, rough: bool) -> Known:
        return Known(np.asarray(self.feature(points.grid.columns(points.codes)), dtype=np.float64))

    def expected(self, points: Inputs) -> Floats:
        return self.belief(points, rough=False).values


@dataclass(frozen=True, eq=False)
class _Learnt:
    scale: Scale
    process: GaussianProcess
    rough: GaussianProcess

    def belief(self, points: Inputs, rough: bool) -> Skewed:
        process = self.rough if rough else self.process
        return Skewed(self.scale, *process.predict(points, np.float32 if rough else np.float64))

    def expected(self, points: Inputs) -> Floats:
        return self.scale.back(self.process.predict(points)[0])


class Models:
    """What is believed of all objectives, and the front in the light of it.

    The front is of believed values: of what was observed with noise, the luckiest would be on
    it, and what is pending counts as it is expected to turn out.
    """

    def __init__(
        self,
        objectives: Sequence[_Known | _Learnt],
        reference: Floats,
        floor: Floats,
        inputs: Inputs,
        pending: Inputs,
    ) -> None:
        self._objectives = objectives
        self._believed = believed = self._expected(inputs)
        if len(pending):
            believed = np.concatenate([believed, self._expected(pending)])
        self._boxes = boxes(believed, reference, floor)

    def _expected(self, points: Inputs) -> Floats:
        return np.stack([item.expected(points) for item in self._objectives], axis=1)

    def front(self) -> NDArray[np.bool_]:
        """(n,) which of the evaluated points are believed to be on the front."""
        return non_dominated(self._believed)

    def gain(self, points: Inputs, *, rough: bool = False) -> Floats:
        """(k,) expected hypervolume improvement."""
        return expected_improvement(
            [item.belief(points, rough) for item in self._objectives], self._boxes
        )

    def uncertainty(self, points: Inputs) -> Floats:
        """(k,) how little is known; where no improvement is expected anywhere."""
        learnt = [item for item in self._objectives if isinstance(item, _Learnt)]
        return np.asarray(sum(item.process.predict(points)[1] for item in learnt))
