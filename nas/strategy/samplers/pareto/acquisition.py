"""The choice of the point to evaluate next: what is expected to add most hypervolume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.belief.belief import Belief
from nas.belief.gaussian import Hyperparameters, fit_hyperparameters
from nas.belief.grid import Codes, Floats, Grid
from nas.belief.points import Points
from nas.belief.relation import Relation
from nas.strategy.samplers.pareto.free_figures import known_points
from nas.strategy.samplers.pareto.knowledge import Knowledge, Observations
from nas.strategy.samplers.pareto.objective_model import (
    BelievedObjective,
    KnownObjective,
    ModelledObjective,
    ObjectiveModel,
)
from nas.strategy.samplers.pareto.posterior import Posterior
from nas.strategy.samplers.pareto.scale import Scale
from nas.study.prospect import Prospect

__all__ = ["Acquisition", "Suggestion"]

_FIT = 200  # points that hyperparameters are fitted to, at most
_GROWTH = 1.1  # of the number of points, between two fits
_JUDGED = 2000  # of the pool, by all points
_PARENTS = 64  # whose neighbourhoods are searched further
_ROUNDS = 3
_MARGIN = 0.05  # of the reference point beyond the worst
_DRAWN = 4096  # at random, where no model asks for more
_CONTENDERS = 100  # that may be better than the best that is known


@dataclass(frozen=True, eq=False)
class Suggestion:
    """The point to evaluate next.

    codes: (d,).
    gain: hypervolume that it is expected to add, on the scales of the objectives; NaN where no
        model was asked.
    luck: what evaluating a member of the front once more is expected to seem to add, by noise
        alone; NaN where no model was asked.
    prospect: what the best network gains, and what the best that can be proposed may be better by;
        None where no model of a loss was asked.
    """

    codes: Codes
    gain: float = np.nan
    luck: float = np.nan
    prospect: Prospect | None = None


class Acquisition:
    """The choice among the points of a grid.

    The same observations, coming in the same order, give the same suggestions, whether they were
    made by this object or an earlier one. It keeps what it has fitted: values that change later,
    as those of a rung or by further seeds, tell on the next fit.

    pool: number of points that are screened for each suggestion.
    start: number of points before the model, spread over what is known for free.
    """

    def __init__(self, grid: Grid, knowledge: Knowledge, *, pool: int, start: int) -> None:
        self.grid = grid
        self.knowledge = knowledge
        self.start = start
        self._pool = pool
        rng = np.random.default_rng(0)
        sample = grid.all_points() if grid.volume <= pool else grid.random(_DRAWN, rng)
        self._space = known_points(grid, knowledge, sample)
        self._inputs = self._space.points
        self._most = {
            number: float(np.max(feature(grid.columns(sample))))
            for number, feature in knowledge.objectives.items()
        }
        self._fitted: dict[tuple[int, int, float | None], Hyperparameters] = {}

    def suggest(self, observations: Observations, seed: int) -> Suggestion | None:
        """Return the next point; None when every allowed one is evaluated or under way.

        seed: of everything random.
        """
        rng = np.random.default_rng(seed)
        # A model needs something to learn from; until then points are spread out.
        if len(observations.codes) < self.start or observations.done.sum() < 2:
            first = self._designed(observations)
            first = self._spread_out(observations, rng) if first is None else first
            return Suggestion(first) if first is not None else None
        posterior = self._posterior(observations)
        front = observations.codes[observations.ended][posterior.front]
        pool = self._only_new(self._draw(front, rng), observations)
        if len(pool) == 0:
            return None
        # Many points are screened roughly, since the exact belief takes far longer.
        gain = posterior.gain(self._inputs(pool), rough=True)
        if self.grid.volume > self._pool:
            pool, gain = self._climb(pool, gain, posterior, observations)
        # What is left is judged by all observations, in full precision.
        best = np.argsort(-gain, kind="stable")[:_JUDGED]
        judged = self._inputs(pool[best])
        gain = posterior.gain(judged)
        most = float(gain.max())
        # Where nothing is to be gained, at least something can be learnt.
        row = int(np.argmax(gain if most > 0 else posterior.uncertainty(judged)))
        return Suggestion(
            judged.codes[row],
            most,
            posterior.luck(observations.noise),
            posterior.prospect(judged[:_CONTENDERS], seed),
        )

    # Points to choose among.

    def _only_new(self, codes: Codes, observations: Observations) -> Codes:
        """Return distinct rows that are allowed, and neither evaluated nor under way."""
        if self.knowledge.settled is not None:
            codes = self.knowledge.settled(codes)
        keys = self.grid.keys(codes)
        _, rows = np.unique(keys, return_index=True)
        rows = np.sort(rows)
        rows = rows[~np.isin(keys[rows], self.grid.keys(observations.codes))]
        new = codes[rows]
        if self.knowledge.allowed is not None:
            new = new[self.knowledge.allowed(self.grid.columns(new))]
        return new

    def _draw(self, front: Codes, rng: np.random.Generator) -> Codes:
        """Return all points where there are few; else a pool drawn at random.

        Half of it are neighbours of the front, a quarter its crossings, a quarter from anywhere.
        """
        if self.grid.volume <= self._pool:
            return self.grid.all_points()
        share = self._pool // 4
        parents = front[rng.integers(len(front), size=2 * share)]
        near = self.grid.mutate(parents, 1 + rng.geometric(0.5, len(parents)), rng)
        mothers, fathers = (front[rng.integers(len(front), size=share)] for _ in range(2))
        crossed = np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)
        crossed = self.grid.mutate(crossed, np.ones(share, dtype=np.int64), rng)
        return np.concatenate([near, crossed, self.grid.random(share, rng)])

    def _climb(
        self, pool: Codes, gain: Floats, posterior: Posterior, observations: Observations
    ) -> tuple[Codes, Floats]:
        """Return pool and gain with the best points' neighbours, and theirs."""
        for _ in range(_ROUNDS):
            parents = pool[np.argsort(-gain, kind="stable")[:_PARENTS]]
            fresh = self._only_new(self.grid.neighbours(parents), observations)
            fresh = fresh[~np.isin(self.grid.keys(fresh), self.grid.keys(pool))]
            if len(fresh) == 0:
                break
            pool = np.concatenate([pool, fresh])
            gain = np.concatenate([gain, posterior.gain(self._inputs(fresh), rough=True)])
        return pool, gain

    # Points of the start.

    def _designed(self, observations: Observations) -> Codes | None:
        """Return the next point (d,) of the design that is new; None where none is left."""
        if self.knowledge.design is None:
            return None
        for row in self.knowledge.design:
            new = self._only_new(row[None], observations)
            if len(new):
                return np.asarray(new[0])
        return None

    def _spread_out(self, observations: Observations, rng: np.random.Generator) -> Codes | None:
        """Return a point (d,) of the start; None when there is no new one.

        It has the least of what is known for free, then the most, and then what is furthest from
        all others; where nothing is known, it lies anywhere.
        """
        count = min(self._pool, _DRAWN)
        drawn = (
            self.grid.all_points() if self.grid.volume <= count else self.grid.random(count, rng)
        )
        pool = self._only_new(drawn, observations)
        if len(pool) == 0:
            return None
        pool = pool[rng.permutation(len(pool))]
        if self._inputs(pool[:1]).features.shape[1] == 0:
            return np.asarray(pool[0])
        number = len(observations.codes)
        if number < 2:
            return self._extreme(pool, observations, least=number == 0)

        def figure(codes: Codes) -> Floats:
            return self._inputs(codes).features[:, 0]

        # By ranks: what a few points have in which hardly any lie is not worth half the start.
        figures = figure(pool)
        order = np.sort(figures)
        ranks = np.searchsorted(order, figures)
        taken = np.searchsorted(order, figure(observations.codes))
        apart = np.abs(ranks[:, None] - taken).min(axis=1)
        return np.asarray(pool[int(np.argmax(apart))])

    def _extreme(self, pool: Codes, observations: Observations, *, least: bool) -> Codes:
        """Climb to the least or the most of the first free figure.

        It is hardly among those drawn at random.
        """
        sign, best, most = -1.0 if least else 1.0, pool[0], -np.inf
        while len(pool):
            figures = sign * self._inputs(pool).features[:, 0]
            if figures.max() <= most:
                break
            best, most = pool[int(np.argmax(figures))], figures.max()
            pool = self._only_new(self.grid.neighbours(best[None]), observations)
        return np.asarray(best)

    # What is believed.

    def _posterior(self, observations: Observations) -> Posterior:
        ended = observations.ended
        inputs = self._inputs(observations.codes[ended])
        costs = observations.costs_at_worst()[ended]
        pending = self._inputs(observations.codes[~ended])
        objectives: list[ObjectiveModel] = []
        for number in range(costs.shape[1]):
            feature = self.knowledge.objectives.get(number)
            if feature is not None:
                objectives.append(KnownObjective(feature))
                continue
            if number in observations.evidence:
                objectives.append(self._believed(number, inputs, costs, observations, pending))
                continue
            noise = observations.noise.get(number)
            hyperparameters = self._hyperparameters(number, inputs, costs[:, number], noise)
            objectives.append(
                ModelledObjective.learn(hyperparameters, inputs, costs, number, pending)
            )
        least = np.full(costs.shape[1], -np.inf)
        most = self._reference(costs)
        for number, focus in self.knowledge.focus.items():
            least[number], most[number] = focus
        return Posterior(objectives, most, least, inputs, pending)

    def _reference(self, costs: Floats) -> Floats:
        """Return costs (m,) a little beyond the worst of the start, and of known objectives."""
        start = costs[: max(2, self.start)]
        best, worst = start.min(axis=0), start.max(axis=0)
        for number, most in self._most.items():
            worst[number] = most
        return np.asarray(worst + _MARGIN * (worst - best) + 1e-9)

    def _believed(
        self,
        number: int,
        inputs: Points,
        costs: Floats,
        observations: Observations,
        pending: Points,
    ) -> BelievedObjective:
        """Return the belief about a loss from every training that bears on it."""
        evidence = observations.evidence[number]
        rows = evidence.rows.usable()
        belief = Belief.fit(self._space, rows, target_images=evidence.target_images)
        if len(pending):
            # They count as they are expected to turn out: they take away variance alone.
            rows = rows.with_expected(pending.codes, belief.gain(pending.codes).mean)
            belief = belief.given(rows, target_images=evidence.target_images)
        return BelievedObjective.of(belief, inputs, costs[:, number])

    def _hyperparameters(
        self, number: int, inputs: Points, values: Floats, noise: float | None
    ) -> Hyperparameters:
        """Return hyperparameters that are fitted anew when there are a tenth more points.

        It is fitted to the points that were there then, so that a search that is resumed finds
        the same one.
        """
        size = max(2, self.start)
        while int(np.ceil(size * _GROWTH)) <= len(inputs):
            size = int(np.ceil(size * _GROWTH))
        size = min(size, len(inputs))
        if (number, size, noise) not in self._fitted:
            rows = np.arange(size)
            if size > _FIT:
                rows = np.sort(np.random.default_rng(size).permutation(size)[:_FIT])
            scale = Scale.of(values[:size])
            variance = scale.deviation(noise) ** 2 if noise is not None else None
            self._fitted[number, size, noise] = fit_hyperparameters(
                self._space,
                inputs[rows],
                Relation.of_one_source(len(rows), variance),
                -scale.apply(values[:size])[rows],
                draws=False,
            )
        return self._fitted[number, size, noise]
