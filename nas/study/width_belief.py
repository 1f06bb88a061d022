"""What the plain network widened is believed to gain, by its own trainings alone.

Attention and width are different things to do to a network: what the blocks of a study gained says
nothing of a wider network without any, and is not to pull what is believed of it. So there is no
kernel here: its trainings are held against those of the plain network at the same length. Of the
rest of the study is taken how much two trainings of one network differ, and how large gains may
be, which makes the prior wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nas.belief.belief import Gain
from nas.belief.evidence import CURVE, EPOCH, Evidence

__all__ = ["WidthBelief"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

_WIDE = 2.0  # times the gains of the study, or what was seen: the prior's standard deviation
_FREEDOM = 2.0  # degrees of freedom that a guess of the noise counts for, beside repeats
_TAIL, _NORMAL_TAIL = 0.95, 1.6448536269514722
_NO_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class WidthBelief:
    """The gains by full training over the plain network of k networks that are wider.

    rows: digest -> number of the network.
    loss, metric: gains in loss that is saved, and in accuracy as a share; NaN of the latter where
        none was measured.
    """

    rows: Mapping[str, int]
    loss: Gain
    metric: Gain

    @classmethod
    def of(
        cls,
        evidence: Evidence,
        digests: Mapping[str, int],
        plain: int,
        *,
        full_images: float,
        usual: float,
        usual_metric: float,
    ) -> WidthBelief:
        """Return the belief about some networks.

        evidence: every training of the study; codes (n, 1) are numbers of networks.
        digests: of the widened networks -> those numbers.
        plain: number of the plain network.
        full_images: that a full training sees.
        usual, usual_metric: how large gains are in this study, in loss and in the metric.
        """
        networks = np.array(list(digests.values()), dtype=np.int64)
        loss = _gains(evidence, -evidence.loss, networks, plain, full_images, usual)
        metric = _gains(evidence, evidence.metric, networks, plain, full_images, usual_metric)
        return cls({digest: row for row, digest in enumerate(digests)}, loss, metric)

    def chosen(self, digests: list[str], gain: Gain) -> Gain:
        """Return those of some of the networks. gain: `loss` or `metric`."""
        rows = [self.rows[digest] for digest in digests]
        return Gain(gain.mean[rows], gain.deviation[rows])

    def draws(self, digests: list[str], gain: Gain, count: int, seed: int) -> Floats:
        """Draw gains, (count, n), of the worlds of each other for equal seeds."""
        chosen = self.chosen(digests, gain)
        usual = np.random.default_rng([seed, 2]).standard_normal((count, len(digests)))
        return np.asarray(chosen.mean + chosen.deviation * usual)


def _gains(
    evidence: Evidence,
    values: Floats,
    networks: Whole,
    plain: int,
    full_images: float,
    usual: float,
) -> Gain:
    """Return the gains of some networks in a figure. values: (n,), higher is better."""
    # A wider network fits the training images better, which says nothing of others.
    judged = np.array([name not in EPOCH.values() for name in evidence.source], dtype=np.bool_)
    finite = np.flatnonzero(np.isfinite(values) & judged)
    rows, values = evidence[finite], values[finite]
    if not len(rows) or not math.isfinite(usual):
        none = np.full(len(networks), np.nan)
        return Gain(none, none)
    owner, level = rows.codes[:, 0], rows.levels()
    on_curve = np.array([name in CURVE for name in rows.source], dtype=np.bool_)
    at_full = on_curve & np.isclose(rows.images, full_images)
    noise, freedom = _noise(values, owner, level, at_full)
    # Few repeats tell it: as wide as Student's t is at the ends of an interval.
    noise *= float(stdtrit(freedom, _TAIL)) / _NORMAL_TAIL
    posteriors = [
        _posterior(values, owner == plain, owner == network, level, at_full, noise, usual)
        for network in networks.tolist()
    ]
    mean, deviation = np.array(posteriors, dtype=np.float64).reshape(-1, 2).T
    return Gain(mean, deviation)


def _posterior(
    values: Floats,
    plain: Flags,
    own: Flags,
    level: Whole,
    at_full: Flags,
    noise: float,
    usual: float,
) -> tuple[float, float]:
    """Return mean and deviation of a gain: the prior, and what each length of training says.

    The prior is as wide as gains are in this study, and as what was seen of this one: small gains
    of blocks are no reason to doubt a large one of width. What shows in trainings of another length
    need not last: it may be off by as much as it is, or as gains usually are.
    """
    lengths: list[tuple[float, float, bool]] = []
    for number in np.unique(level[own]).tolist():
        here = level == number
        beside = here & plain
        if not beside.any():
            continue
        both = 1 / np.count_nonzero(beside) + 1 / np.count_nonzero(here & own)
        apart = float(values[here & own].mean() - values[beside].mean())
        lengths.append((apart, noise**2 * both, bool(at_full[here].any())))
    largest = max((abs(apart) for apart, _, _ in lengths), default=0.0)
    prior = max(_WIDE * usual, _WIDE * largest, noise, _NO_SPREAD)
    precision, total = prior**-2, 0.0
    for apart, variance, lasts in lengths:
        changes = 0.0 if lasts else max(usual, abs(apart))
        weight = 1 / max(variance + changes**2, _NO_SPREAD**2)
        precision += weight
        total += weight * apart
    return total / precision, precision**-0.5


def _noise(values: Floats, owner: Whole, level: Whole, at_full: Flags) -> tuple[float, float]:
    """Return the standard deviation of one full training, and its degrees of freedom.

    Of repeats at full length, and, as a guess that counts for little, of those at other lengths;
    without any repeats, of the networks themselves, which is too wide.
    """
    full, freedom = _within(values, owner, level, at_full)
    guess, known = _within(values, owner, level, ~at_full)
    if not known and not freedom:
        return max(float(values.std()), _NO_SPREAD), _FREEDOM
    guess = guess if known else full
    variance = (freedom * full**2 + _FREEDOM * guess**2) / (freedom + _FREEDOM)
    return max(math.sqrt(variance), _NO_SPREAD), max(float(freedom), _FREEDOM)


def _within(values: Floats, owner: Whole, level: Whole, which: Flags) -> tuple[float, int]:
    """Return the deviation between trainings of one network at one length, and its freedom."""
    squares, freedom = 0.0, 0
    for number in np.unique(level[which]).tolist():
        for network in np.unique(owner[which & (level == number)]).tolist():
            own = values[which & (level == number) & (owner == network)]
            squares += float(((own - own.mean()) ** 2).sum())
            freedom += len(own) - 1
    return (math.sqrt(squares / freedom) if freedom else 0.0), freedom
