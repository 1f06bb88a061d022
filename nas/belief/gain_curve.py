"""The gain of each network against the plain one as a curve over the images that it was trained on.

Attention may start slower than the plain network and end ahead of it, so that one short training
can say the opposite of a long one. Trainings of several lengths, each annealed to its own end, show
whether a curve has crossed, and how sure that is. Nothing is extrapolated here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

__all__ = [
    "BudgetChoice",
    "Crossing",
    "CurveRow",
    "GainAt",
    "GainCurve",
    "Verdict",
    "choose_budget",
    "gain_curves",
    "training_noise",
]

Verdict = Literal["ahead", "behind", "crossed", "too short to tell"]
_WRONG = 0.05  # chance that any network of equals is told from plain at one length, at most
_ENOUGH = 3  # degrees of freedom, with which trainings of one length tell their own noise

Floats = NDArray[np.float64]
Cells = dict[tuple[str, float], Floats]
"""The losses, one for each seed, of a network and a length."""


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One training.

    images: how many it has seen, each as often as it was shown.
    loss: on validation images; NaN and infinities are left out.
    """

    network: str
    images: float
    loss: float
    seed: int


@dataclass(frozen=True, slots=True)
class GainAt:
    """The gain of a network by trainings of one length.

    gain: loss of the plain network minus that of this one; above 0 it is better.
    deviation: standard deviation of the gain by chance; NaN where no training was repeated.
    margin: what a gain must be beyond, so that its sign is told; NaN likewise.
    trainings: of this network.
    sign: 1 or -1 where it is told, else 0.
    """

    images: float
    gain: float
    deviation: float
    margin: float
    trainings: int
    sign: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """A place where a curve goes through zero, both sides of it beyond the noise.

    images: where the straight line over log images does.
    upwards: whether the network is ahead behind it.
    """

    images: float
    upwards: bool


@dataclass(frozen=True, slots=True)
class GainCurve:
    """The gains of one network, at each length that it and the plain one were trained for.

    verdict: `ahead`: better than plain beyond the noise at the longest, and never worse before;
        `crossed`: better at the longest, worse at a shorter one; `behind`: worse at the longest and
        not catching up; else `too short to tell`.
    reaches: whether it has a gain at the longest training of the plain network.
    catching_up: whether its gain at the longest is above that at a shorter one, beyond the noise.
    """

    network: str
    gains: tuple[GainAt, ...]
    crossings: tuple[Crossing, ...]
    verdict: Verdict
    reaches: bool
    catching_up: bool


@dataclass(frozen=True, slots=True)
class BudgetChoice:
    """The length of training that a search should take, of those that were tried.

    images: the shortest one that contradicts the longest in no network and tells one at least from
        the plain network, where the longest does.
    told: how many networks the longest tells from the plain one.
    contradicted: how many of these signs the next shorter length has turned round; None without
        a shorter one.
    settled: whether no curve may still turn: none is behind and catching up at the longest.
    """

    images: float
    longest: float
    told: int
    contradicted: int | None
    settled: bool


def training_noise(rows: Iterable[CurveRow], images: float | None = None) -> tuple[float, int]:
    """Return the standard deviation of the loss between seeds, and its degrees of freedom.

    It is pooled over all networks that were trained more than once for equally long; NaN and 0
    where none was.
    images: the length; None pools over all of them.
    """
    return _noise(_cells(rows), images)


def gain_curves(rows: Iterable[CurveRow], plain: str = "plain") -> tuple[GainCurve, ...]:
    """Return the curve of every network but the plain one, in the order of the rows.

    A network and a seed that stand twice at one length count once, by the last row. Lengths at
    which the plain network was not trained have no gain. The chance that a sign is told of any
    network at one length, where all equal the plain one, is 5 % at most (Bonferroni).
    Raises ValueError when the plain network has no row, or no other network has one.
    """
    rows = list(rows)
    cells, names = _cells(rows), dict.fromkeys(row.network for row in rows)
    lengths = sorted(images for name, images in cells if name == plain)
    others = [name for name in names if name != plain]
    if not lengths:
        raise ValueError(f"no training of the plain network ({plain!r}) has a finite loss")
    if not others:
        raise ValueError(f"{plain!r} is the only network; a gain needs another one")
    noises = {images: _noise_at(cells, images, len(others)) for images in lengths}
    return tuple(
        _judged(
            name,
            tuple(
                _gain(images, cells[plain, images], cells[name, images], noises[images])
                for images in lengths
                if (name, images) in cells
            ),
            lengths[-1],
        )
        for name in others
    )


def _cells(rows: Iterable[CurveRow]) -> Cells:
    """Sort out the finite losses, by network and length."""
    cells: dict[tuple[str, float], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if math.isfinite(row.loss):
            cells[row.network, row.images][row.seed] = row.loss
    return {key: np.array(list(losses.values())) for key, losses in cells.items()}


def _noise(cells: Cells, images: float | None) -> tuple[float, int]:
    repeated = [losses for (_, at), losses in cells.items() if images is None or at == images]
    freedom = sum(len(losses) - 1 for losses in repeated)
    squares = sum(float(((losses - losses.mean()) ** 2).sum()) for losses in repeated)
    return (math.sqrt(squares / freedom), freedom) if freedom else (math.nan, 0)


def _noise_at(cells: Cells, images: float, networks: int) -> tuple[float, float]:
    """Return the noise of one training of a length, and how many deviations tell a sign."""
    noise, freedom = _noise(cells, images)
    if freedom < _ENOUGH:  # short trainings are noisier than long ones, but these cannot say it
        noise, freedom = _noise(cells, None)
    width = float(student.ppf(1 - _WRONG / 2 / networks, freedom)) if freedom else math.nan
    return noise, width


def _gain(images: float, plain: Floats, network: Floats, noise: tuple[float, float]) -> GainAt:
    gain = float(plain.mean() - network.mean())
    deviation = noise[0] * math.sqrt(1 / len(plain) + 1 / len(network))
    margin = deviation * noise[1]
    return GainAt(images, gain, deviation, margin, len(network), _sign(gain, margin))


def _sign(value: float, margin: float) -> int:
    """Return the sign of what is beyond a margin; 0 within it, or where the margin is NaN."""
    return int(value > margin) - int(value < -margin)


def _judged(name: str, gains: tuple[GainAt, ...], longest: float) -> GainCurve:
    signed = [gain for gain in gains if gain.sign]
    crossings = tuple(
        Crossing(_zero(before, after), after.sign > 0)
        for before, after in pairwise(signed)
        if before.sign != after.sign
    )
    reaches = bool(gains) and gains[-1].images == longest
    catching_up = any(
        _sign(gains[-1].gain - before.gain, math.hypot(gains[-1].margin, before.margin)) > 0
        for before in gains[:-1]
    )
    verdict: Verdict = "too short to tell"
    if reaches and gains[-1].sign > 0:
        verdict = "crossed" if crossings else "ahead"
    elif reaches and gains[-1].sign < 0 and not catching_up:
        verdict = "behind"
    return GainCurve(name, gains, crossings, verdict, reaches, catching_up)


def _zero(before: GainAt, after: GainAt) -> float:
    """Return where the line through two gains, over log images, is zero."""
    share = before.gain / (before.gain - after.gain)
    return float(np.exp(np.log(before.images) * (1 - share) + np.log(after.images) * share))


def choose_budget(curves: Iterable[GainCurve]) -> BudgetChoice:
    """Choose the length of training that a search should take, by what the curves tell.

    Raises ValueError without a single gain.
    """
    curves = list(curves)
    lengths = sorted({gain.images for curve in curves for gain in curve.gains})
    if not lengths:
        raise ValueError("no network has a gain at any length")
    signs = {(curve.network, gain.images): gain.sign for curve in curves for gain in curve.gains}
    last = {name: sign for (name, images), sign in signs.items() if images == lengths[-1] and sign}

    def turned(images: float) -> int:
        return sum(signs.get((name, images), 0) == -sign for name, sign in last.items())

    def tells(images: float) -> bool:
        return any(signs.get((name, images), 0) == sign for name, sign in last.items())

    settled = not any(curve.verdict == "too short to tell" and _may_turn(curve) for curve in curves)
    chosen = lengths[-1]
    for images in reversed(lengths[:-1]):
        if not (settled and tells(images)) or turned(images):
            break
        chosen = images
    contradicted = turned(lengths[-2]) if len(lengths) > 1 else None
    return BudgetChoice(chosen, lengths[-1], len(last), contradicted, settled)


def _may_turn(curve: GainCurve) -> bool:
    """Say whether a curve is on its way up and still below zero."""
    return curve.catching_up and curve.gains[-1].gain < 0
