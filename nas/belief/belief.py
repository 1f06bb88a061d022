"""The posterior of what full training would give every network of a space, from all evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.belief.evidence import CURVE, SMOOTH, Evidence, centred
from nas.belief.gaussian import Gaussian, Hyperparameters, fit_hyperparameters
from nas.belief.grid import Codes, Floats
from nas.belief.points import Points, PointSpace
from nas.belief.relation import Relation

__all__ = ["Belief", "Gain"]

_SLOPE_SPREAD = 3.0  # prior deviation of the metric's slope, in its own units over the loss's
_FEW = 4


@dataclass(frozen=True, eq=False)
class Gain:
    """A gain over the plain network, by full training: positive is better.

    mean, deviation: (k,) of the belief, without the noise of a training.
    """

    mean: Floats
    deviation: Floats


class Belief:
    """The posterior of the gain by full training of every network of a space.

    The plain network's gain is exactly 0. Its own trainings are noisy, too, and their noise is
    common to all gains: it is in their deviations.

    unit: what one unit of the model is in loss.
    """

    def __init__(
        self,
        space: PointSpace,
        model: Gaussian,
        unit: float,
        metric: _Metric | None,
        hyperparameters: Hyperparameters,
    ) -> None:
        self.space = space
        self.unit = unit
        self._model = model
        self._metric = metric
        self._hyperparameters = hyperparameters

    @classmethod
    def fit(cls, space: PointSpace, evidence: Evidence, *, target_images: float) -> Belief:
        """Fit the belief to rows of evidence; without any, it is the prior.

        target_images: images that a full training sees.
        """
        evidence = evidence.usable()
        if not len(evidence):
            return cls._prior(space)
        unit = evidence.unit(target_images)
        if space.reference is not None:
            # Gains are against it, so it is never so far off that only its order counts.
            unit = max(unit, evidence.apart(space.reference) / SMOOTH)
        values = evidence.values(unit)
        relation = evidence.relation(target_images)
        points = space.points(evidence.codes)
        hyperparameters = fit_hyperparameters(space, points, relation, values)
        model = Gaussian(hyperparameters, points, relation, values)
        metric = _Metric.fit(evidence, unit, points, relation, hyperparameters)
        return cls(space, model, unit, metric, hyperparameters)

    def given(self, evidence: Evidence, *, target_images: float) -> Belief:
        """Return the belief from these rows, with the hyperparameters of this one.

        evidence: of the sources and budgets that this one was fitted to.
        """
        relation = evidence.relation(target_images)
        points = self.space.points(evidence.codes)
        model = Gaussian(self._hyperparameters, points, relation, evidence.values(self.unit))
        return Belief(self.space, model, self.unit, self._metric, self._hyperparameters)

    @classmethod
    def _prior(cls, space: PointSpace) -> Belief:
        """Return the belief before any training: one row of the plain network that says nothing."""
        codes = space.reference if space.reference is not None else space.grid.sizes * 0
        points, relation = space.points(codes[None]), Relation.of_one_source(1)
        hyperparameters = fit_hyperparameters(space, points, relation, np.zeros(1), draws=False)
        return cls(
            space,
            Gaussian(hyperparameters, points, relation, np.zeros(1)),
            0.05,
            None,
            hyperparameters,
        )

    def gain(self, codes: Codes, *, rough: bool = False) -> Gain:
        """Return the gain in loss of networks (k, d).

        rough: in single precision, for screening many.
        """
        mean, deviation = self._model.predict(
            self.space.points(codes), np.float32 if rough else np.float64
        )
        return Gain(self.unit * mean, self.unit * deviation)

    def joint(self, codes: Codes) -> tuple[Floats, Floats]:
        """Return mean (k,) and covariance (k, k) of the gain in loss of networks (k, d)."""
        mean, covariance = self._model.joint(self.space.points(codes))
        return self.unit * mean, self.unit**2 * covariance

    @property
    def metric_per_loss(self) -> float:
        """How much of the metric a gain in loss is worth; NaN where none was measured."""
        return np.nan if self._metric is None else self._metric.slope

    def metric_gain(self, codes: Codes) -> Gain:
        """Return the gain in the metric of networks (k, d); NaN where none was measured."""
        if self._metric is None:
            none = np.full(len(codes), np.nan)
            return Gain(none, none)
        gain = self.gain(codes)
        return self._metric.gain(self.space.points(codes), gain)

    def draws(self, codes: Codes, count: int, seed: int = 0) -> Floats:
        """Return joint draws (count, k) of the gain in loss of networks (k, d)."""
        return self.unit * self._model.draws(self.space.points(codes), count, seed)

    def metric_draws(self, codes: Codes, count: int, seed: int = 0) -> Floats:
        """Return joint draws (count, k) of the gain in the metric, of the worlds of `draws`."""
        if self._metric is None:
            return np.full((count, len(codes)), np.nan)
        losses = self.draws(codes, count, seed)
        return self._metric.draws(self.space.points(codes), losses, seed)

    def p_better(self, one: Codes, other: Codes, *, count: int = 4000) -> float:
        """Return the probability that one network (d,) comes to a lower loss than another."""
        drawn = self.draws(np.stack([one, other]), count)
        return float((drawn[:, 0] > drawn[:, 1]).mean())


@dataclass(frozen=True, eq=False)
class _Metric:
    """How the metric follows the loss: a slope, and a function of the network of its own.

    slope, spread: of the metric's gain by the loss's, and its standard deviation.
    unit: what one unit of `own` is in the metric.
    own: what the metric gains beyond the slope.
    """

    slope: float
    spread: float
    unit: float
    own: Gaussian

    @classmethod
    def fit(
        cls,
        evidence: Evidence,
        unit: float,
        points: Points,
        relation: Relation,
        hyperparameters: Hyperparameters,
    ) -> _Metric | None:
        """Fit it to rows that have both; None where too few have."""
        on_curve = np.array([name in CURVE for name in evidence.source])
        finite = np.isfinite(evidence.metric)
        rows = np.flatnonzero(finite & on_curve)
        if len(rows) < _FEW:
            rows = np.flatnonzero(finite)
        if len(rows) < _FEW:
            return None
        level = evidence.levels()[rows]
        losses = unit * centred(-evidence.loss[rows] / unit, level)
        raw = evidence.metric[rows]
        apart = raw - np.array([np.median(raw[level == number]) for number in level])
        weight = max(float(losses @ losses), 1e-18)
        # Shrunk a little: loss and metric of few, nearly equal networks tell no slope.
        prior = float(np.var(apart)) / _SLOPE_SPREAD**2
        slope = float(losses @ apart) / (weight + prior)
        rest = apart - slope * losses
        noise = float(rest @ rest) / max(len(rows) - 1, 1)
        spread = float(np.sqrt(noise / (weight + prior)))
        own_unit = max(float(rest.std()), 1e-9)
        relation = relation[rows]
        of_rest = _of_rest(hyperparameters, points[rows], relation, rest / own_unit)
        own = Gaussian(of_rest, points[rows], relation, rest / own_unit)
        return cls(slope, spread, own_unit, own)

    def gain(self, points: Points, gain: Gain) -> Gain:
        mean, deviation = self.own.predict(points)
        variance = (self.slope * gain.deviation) ** 2 + (self.spread * gain.mean) ** 2
        variance += (self.spread * gain.deviation) ** 2 + (self.unit * deviation) ** 2
        return Gain(self.slope * gain.mean + self.unit * mean, np.sqrt(variance))

    def draws(self, points: Points, losses: Floats, seed: int) -> Floats:
        rng = np.random.default_rng([seed, 1])
        slopes = self.slope + self.spread * rng.standard_normal(len(losses))
        own = self.own.draws(points, len(losses), seed + 1)
        return slopes[:, None] * losses + self.unit * own


def _of_rest(
    hyperparameters: Hyperparameters, points: Points, relation: Relation, values: Floats
) -> Hyperparameters:
    """Return hyperparameters for what the metric gains beyond the loss.

    It has the loss's kernel, since few rows tell little of their own; how much of the rest is of
    the networks and how much is noise is fitted, on a grid.
    """
    means, _ = relation.prior()
    networks = hyperparameters.kernel.covariance(points, points)
    rows: list[Floats] = []
    costs: list[float] = []
    for signal in np.log([0.01, 0.03, 0.1, 0.3, 1.0]):
        for noise in np.log([0.3, 0.6, 1.0, 1.5]):
            at = means.copy()
            at[relation.places.scale], at[relation.places.noise] = signal, noise
            covariance = networks * relation.rows(at) + relation.errors(at)
            sign, logarithm = np.linalg.slogdet(covariance)
            if sign <= 0:
                continue
            solved = np.linalg.solve(covariance, values)
            rows.append(at)
            costs.append(float(0.5 * values @ solved + 0.5 * logarithm))
    weights = np.exp(-np.array(costs) + min(costs))
    kept = np.argsort(-weights)[:6]
    weights = weights[kept] / weights[kept].sum()
    return Hyperparameters(hyperparameters.kernel, np.array(rows)[kept], weights)
