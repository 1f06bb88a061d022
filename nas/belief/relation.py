"""How a row of evidence is related to what full training would give.

A training from the start of the full recipe is a point on a network's own curve over budget:

    gain(x, z) = f(x) + (w(x) - c load(x)) exp(-t / tau) + o(x, z),    z = log2 t,

with t the share of the full training's images that it has seen. f is what it comes to; then comes
a start that fades, slower with attention by c for a network full of it; o is what a curve does
besides, alike at near budgets (an Ornstein-Uhlenbeck process in z). f, w and o have the kernel of
the networks, each with a variance of its own, so the curve is bounded, and beyond its last point
falls back to what is usual. Because attention starts slower, a gain that shows early is one, and a
loss that shows early tells little.

Any other source (a probe, a restart, inherited weights, a score without training) is related to
the gain by full training by a slope, a bias that is a function of the network, and a noise of its
own (Kennedy and O'Hagan, Biometrika 87, 2000; Swersky, Snoek and Adams, NIPS 2013). So is the mean
training loss of an epoch, but to the curve where that epoch ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.belief.grid import Codes, Floats

__all__ = ["Relation"]

_LEVEL = 100.0
"""Variance of what all rows of a source and budget have in common, such as the plain network's
loss: so wide that it is learnt from them alone."""

_FULL = 1.0
# Prior means and deviations, on logarithmic scales where a variance or a length is meant.
# What was seen to differ may be noise for the most part: then little is to be found anywhere.
_SCALE = (-0.3, 1.0)
# In a deep network starts differed five times as much as ends, and had faded after a third of
# the training; in a small one they differed hardly (docs/fidelity.md).
_SLOW = (np.log(4.0), 1.5)
_FADE = (np.log(0.3), 1.0)
_HANDICAP = (np.log(2.0), 1.0)
_OWN = (np.log(0.3), 1.0)
_REACH = (np.log(3.0), 0.5)
_SLOPE = (0.7, 0.5)
_BIAS = (np.log(0.3), 1.5)
_NOISE = 2.0
_AGREEMENT, _MOST_AGREEMENT = (0.5, 0.4), 0.97
"""Mean and deviation of how far a proxy agrees with full training, before the two are compared: of
seven ways to order thirty networks, correlations were from -.1 to .8 (docs/proxy-study.csv)."""
_AKIN = (0.7, 0.3)
_COMMON = (-1.0, 1.0)
_SEED = (np.log(0.05), 1.5)


_T = TypeVar("_T")


class _Parts(NamedTuple, Generic[_T]):
    """Something of each kind of hyperparameter, in the order in which a row holds them.

    scale: of the gain by full training.
    slow, fade, handicap: of the start, w, tau and c.
    own, reach: of o.
    slope, bias: of each other source.
    noise: of each kind of training.
    common: what rows of one training share of it.
    seed: what trainings with one seed have in common.
    """

    scale: _T
    slow: _T
    fade: _T
    own: _T
    reach: _T
    handicap: _T
    slope: _T
    bias: _T
    noise: _T
    common: _T
    seed: _T


class _Present(NamedTuple):
    """The kinds of rows that there are, each with hyperparameters of its own.

    curve: rows at several budgets, or at another one than the full training's.
    several: rows of one training.
    seeds: trainings of one level with one seed.
    """

    curve: bool
    several: bool
    seeds: bool


@dataclass(frozen=True, eq=False)
class Relation:
    """The rows of evidence but for their networks, and the hyperparameters that relate them.

    share: (n,) images seen, as a share of the full training's; 1 where it has no meaning.
    source: (n,) number of the source, for rows that are not on the curve of full training itself;
        -1 for those that are.
    level: (n,) number of the group of rows that are measured on one scale, whose origin is learnt;
        -1 where values are about what is usual.
    noise: (n,) number of the group of rows whose noise has one variance.
    training, seed: (n,) equal numbers for rows of one training, and of one seed at one level.
    repeats: (n,) trainings that a row is the mean of.
    known: (k,) of each group of noise, its variance where repeats have told it; NaN else.
    degrees: (k,) degrees of freedom that it is known to.
    akin: (s,) of the sources, whether it comes of the very trainings that lie on the curve.
    usual_noise: its variance before anything is known of it.
    whole: of the rows that these are a part of, see `part`; None: they are all.
    """

    share: Floats
    source: Codes
    level: Codes
    noise: Codes
    training: Codes
    seed: Codes
    repeats: Floats
    known: Floats
    degrees: Floats
    akin: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    usual_noise: float = 0.1
    whole: _Present | None = None

    @classmethod
    def of_one_source(cls, count: int, noise: float | None = None) -> Relation:
        """Relate rows that are all of full training, each of a training of its own.

        noise: variance of one; None: it is learnt.
        """
        none, rows = np.zeros(count, dtype=np.int64), np.arange(count)
        known = np.array([np.nan if noise is None else noise])
        return cls(
            share=np.ones(count),
            source=none - 1,
            level=none - 1,
            noise=none,
            training=rows,
            seed=rows,
            repeats=np.ones(count),
            known=known,
            degrees=np.where(np.isnan(known), 0.0, 200.0),
            usual_noise=0.007,  # figures of any kind, many of them exact
        )

    def __getitem__(self, rows: Codes) -> Relation:
        return replace(
            self,
            share=self.share[rows],
            source=self.source[rows],
            level=self.level[rows],
            noise=self.noise[rows],
            training=self.training[rows],
            seed=self.seed[rows],
            repeats=self.repeats[rows],
        )

    def part(self, rows: Codes) -> Relation:
        """Return some rows with the hyperparameters of all, whatever is found among them."""
        return replace(self[rows], whole=self._present)

    @cached_property
    def _same_training(self) -> Floats:
        same = (self.training[:, None] == self.training).astype(np.float64)
        np.fill_diagonal(same, 0.0)
        return np.asarray(same)

    @cached_property
    def _same_seed(self) -> Floats:
        same = self.seed[:, None] == self.seed
        same = same & (self.level[:, None] == self.level)
        return np.asarray(same, dtype=np.float64)

    @cached_property
    def _same_source(self) -> Floats:
        other = self.source >= 0
        same = other[:, None] & (self.source[:, None] == self.source)
        return np.asarray(same, dtype=np.float64)

    @cached_property
    def _levels(self) -> Floats:
        same = (self.level[:, None] == self.level) & (self.level >= 0)
        return np.asarray(_LEVEL * same)

    @cached_property
    def _doublings(self) -> Floats:
        """How far (n, n) two rows lie from each other on the logarithmic scale of budgets."""
        z = np.log2(self.share)
        return np.asarray(np.abs(z[:, None] - z))

    @cached_property
    def _present(self) -> _Present:
        return self.whole or _Present(
            curve=bool((np.abs(np.log2(self.share)) > 1e-6).any()),
            several=bool(self._same_training.any()),
            seeds=bool((self._same_seed.sum(axis=1) > 1).any()),
        )

    @property
    def has_curve(self) -> bool:
        """True where rows lie at several budgets, or at another one than the full training's."""
        return self._present.curve

    @property
    def sources(self) -> int:
        """The number of sources that are not on the curve itself."""
        return len(self.akin)

    @cached_property
    def _usual(self) -> _Parts[tuple[int, float, float]]:
        """How many hyperparameters each part has, and their prior means and deviations."""
        curve, several, seeds = map(int, self._present)
        return _Parts(
            scale=(1, *_SCALE),
            slow=(curve, *_SLOW),
            fade=(curve, *_FADE),
            own=(curve, *_OWN),
            reach=(curve, *_REACH),
            handicap=(curve, *_HANDICAP),
            slope=(self.sources, *_SLOPE),
            bias=(self.sources, *_BIAS),
            noise=(len(self.known), float(np.log(self.usual_noise)), _NOISE),
            common=(several, *_COMMON),
            seed=(seeds, *_SEED),
        )

    @cached_property
    def places(self) -> _Parts[slice]:
        """The place of each part in a row of hyperparameters."""
        ends = np.cumsum([count for count, _, _ in self._usual]).tolist()
        return _Parts(*(slice(*pair) for pair in pairwise([0, *ends])))

    @property
    def size(self) -> int:
        """The number of hyperparameters."""
        return sum(count for count, _, _ in self._usual)

    def prior(self) -> tuple[Floats, Floats]:
        """Return means and deviations of the hyperparameters, (size,) each."""
        means = np.concatenate([np.full(count, mean) for count, mean, _ in self._usual])
        spreads = np.concatenate([np.full(count, spread) for count, _, spread in self._usual])
        of_noise = self.places.noise
        measured = (self.degrees > 0) & (self.known > 0)
        # The logarithm of a variance from repeats; the bias of the logarithm is left out.
        means[of_noise] = np.where(
            measured, np.log(np.where(measured, self.known, 1.0)), means[of_noise]
        )
        spread = np.sqrt(2 / np.maximum(self.degrees, 1))
        spreads[of_noise] = np.where(measured, np.minimum(spread, 1.0), spreads[of_noise])
        return means, spreads

    @property
    def of_curve(self) -> slice:
        """The places of the curve's hyperparameters."""
        return slice(self.places.slow.start, self.places.handicap.stop)

    @property
    def of_sources(self) -> slice:
        """The places of the slopes, then of the biases, of other sources."""
        return slice(self.places.slope.start, self.places.bias.stop)

    def draw_agreements(self, count: int, rng: np.random.Generator) -> Floats:
        """Return draws (count, s) of how far each source agrees with the gain that it is to tell.

        They are from what is usual, before the two are compared.
        """
        means, spreads = np.where(self.akin[:, None], _AKIN, _AGREEMENT).T
        drawn = means + spreads * rng.standard_normal((count, self.sources))
        return np.asarray(np.clip(drawn, -_MOST_AGREEMENT, _MOST_AGREEMENT))

    def with_agreement(self, at: Floats, agreement: Floats) -> Floats:
        """Return hyperparameters with which each source agrees with full training so far.

        What a source's rows vary by stays as it is; how much of it is of the gain by full
        training, and how much its own, is what rows of one source alone never tell.

        agreement: (s,) correlations, between -1 and 1.
        """
        there = at.copy()
        slopes, biases = np.split(at[self.of_sources], 2)
        variance = slopes**2 + np.exp(biases)
        there[self.of_sources] = np.concatenate(
            [agreement * np.sqrt(variance), np.log((1 - agreement**2) * variance)]
        )
        return there

    def _split(self, at: Floats) -> _Parts[Floats]:
        """Return the parts of one row of hyperparameters."""
        return _Parts(*(at[place] for place in self.places))

    def starts(self, at: Floats) -> tuple[Floats, float]:
        """Return how much of the slow start is left at each row (n,), and at the full training."""
        fade = float(np.exp(self._split(at).fade[0]))
        return np.exp(-self.share / fade), float(np.exp(-_FULL / fade))

    def _slopes(self, at: Floats) -> Floats:
        slopes = np.append(self._split(at).slope, 1.0)
        return slopes[self.source]

    def target(self, at: Floats) -> tuple[Floats, float]:
        """Return how rows (n,) vary with the gain by full training, and that gain's variance.

        Both are in units of the kernel.
        """
        part = self._split(at)
        toward, variance = np.ones(len(self.share)), 1.0
        if self.has_curve:
            start, end = self.starts(at)
            near = np.exp(-np.abs(np.log2(self.share)) / np.exp(part.reach[0]))
            slow, own = np.exp(part.slow[0]), np.exp(part.own[0])
            toward = 1 + slow * start * end + own * near
            variance = float(1 + slow * end**2 + own)
        unit = float(np.exp(part.scale[0]))
        return unit * self._slopes(at) * toward, unit * variance

    def expected(self, at: Floats, load: Floats) -> tuple[Floats, float]:
        """Return the mean of rows (n,) before any value is known, and of the target by load.

        load: (n,) of the rows' networks. Both are in units of the values.
        """
        if not self.has_curve:
            return np.zeros(len(load)), 0.0
        start, end = self.starts(at)
        slower = -float(np.exp(self._split(at).handicap[0]))
        return self._slopes(at) * slower * load * start, slower * end

    def rows(self, at: Floats) -> Floats:
        """Return how rows vary with each other (n, n), in units of the kernel."""
        part = self._split(at)
        slopes = self._slopes(at)
        alike = np.ones_like(self._same_seed)
        if self.has_curve:
            start, _ = self.starts(at)
            alike = alike + np.exp(part.slow[0]) * np.outer(start, start)
            alike += np.exp(part.own[0]) * np.exp(-self._doublings / np.exp(part.reach[0]))
        total = np.outer(slopes, slopes) * alike
        if self.sources:
            total += self._same_source * np.exp(part.bias)[self.source]
        return np.asarray(np.exp(part.scale[0]) * total)

    def errors(self, at: Floats) -> Floats:
        """Return the covariance (n, n) of what is not of the networks: noise, seeds, levels."""
        part = self._split(at)
        variance = np.exp(part.noise)[self.noise] / self.repeats
        total = self._levels + np.diag(variance)
        if len(part.common):
            deviation = np.sqrt(variance)
            share = 1 / (1 + np.exp(-part.common[0]))
            total = total + share * self._same_training * np.outer(deviation, deviation)
        if len(part.seed):
            total = total + np.exp(part.seed[0]) * self._same_seed
        return total

    def gradient(
        self, at: Floats, kernel: Floats, by: Floats, load: Floats, by_mean: Floats
    ) -> Floats:
        """Return what a function of the rows' distribution changes with hyperparameters.

        kernel: (n, n) covariance of the networks.
        by: (n, n) symmetric derivative of the function by the covariance of the rows, which is
            `kernel * rows + errors`.
        load: (n,) of the networks.
        by_mean: (n,) derivative of the function by the rows' means, which are `expected`.
        """
        part = self._split(at)
        scale = float(np.exp(part.scale[0]))
        inner = by * kernel
        parts = [np.array([(inner * self.rows(at)).sum()])]
        inner = inner * scale
        slopes = self._slopes(at)
        between = inner * np.outer(slopes, slopes)
        alike = np.ones_like(between)
        if self.has_curve:
            start, _ = self.starts(at)
            fade = float(np.exp(part.fade[0]))
            slowness = np.exp(part.slow[0])
            both = slowness * np.outer(start, start)
            falling = np.exp(part.own[0]) * np.exp(-self._doublings / np.exp(part.reach[0]))
            alike = alike + both + falling
            times = (self.share[:, None] + self.share) / fade
            slower = by_mean * self.expected(at, load)[0]
            parts += [
                np.array([(between * both).sum()]),
                np.array([(between * both * times).sum() + (slower * self.share / fade).sum()]),
                np.array([(between * falling).sum()]),
                np.array([(between * falling * self._doublings / np.exp(part.reach[0])).sum()]),
                np.array([slower.sum()]),
            ]
        each = 2 * (inner * alike) @ slopes
        if self.has_curve:
            each = each - by_mean * np.exp(part.handicap[0]) * load * start
        other = self.source >= 0
        parts.append(np.bincount(self.source[other], each[other], len(part.slope)))
        biases = np.exp(np.append(part.bias, 0.0))[self.source]
        of_bias = (inner * self._same_source).sum(axis=1) * biases
        parts.append(np.bincount(self.source[other], of_bias[other], len(part.bias)))
        variance = np.exp(part.noise)[self.noise] / self.repeats
        of_noise = np.diag(by) * variance
        if len(part.common):
            deviation = np.sqrt(variance)
            share = 1 / (1 + np.exp(-part.common[0]))
            shared = by * self._same_training * np.outer(deviation, deviation)
            of_noise = of_noise + share * shared.sum(axis=1)
        parts.append(np.bincount(self.noise, of_noise, len(part.noise)))
        if len(part.common):
            parts.append(np.array([share * (1 - share) * shared.sum()]))
        if len(part.seed):
            parts.append(np.array([np.exp(part.seed[0]) * (by * self._same_seed).sum()]))
        return np.concatenate(parts)
