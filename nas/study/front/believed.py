"""What networks of a front are believed to gain by full training: the source of what is shown.

Tables, cards, panels, findings, choices and comparisons read the draws of this one belief, so that
one network does not carry several uncertainties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from nas.belief.belief import Gain
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.objective import Objective
from nas.study.front.believed_gain import GAIN_LEVEL, NO_GAIN, UNKNOWN_GAIN, BelievedGain
from nas.study.front.network_table import NetworkTable
from nas.study.network_belief import NetworkBelief

__all__ = ["MEASURED", "Believed"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

MEASURED = ("loss", "accuracy")
"""The objectives that a belief tells of."""

_DRAWS = 4000
_SOME = 250  # networks that a missing plain one is told from


@dataclass(frozen=True, eq=False)
class Believed:
    """The beliefs about the networks of a table.

    by_run: name in the column `run` -> belief; without that name, nothing is believed of it.
    """

    by_run: Mapping[str | None, NetworkBelief]

    def expected(self, measured: NetworkTable, rows: Whole, figure: str) -> Floats:
        """Return what networks (k,) come to as expected: the plain one's figure and their gain.

        figure: `loss` or `accuracy`. Of a run about which nothing is believed, as it was measured;
        NaN for a network of which its run's belief cannot tell.
        """
        columns = measured.columns
        values = np.asarray(columns[figure][rows], dtype=np.float64)
        for run, belief in self.by_run.items():
            mine = np.flatnonzero(columns["run"][rows] == run)
            known = mine[self._known(measured, rows[mine], belief)]
            gains = _gain(belief, measured.architectures_of(rows[known]), figure)
            if not np.isnan(gains).any():
                gains[_is_plain(measured, rows[known])] = 0.0
                values[mine] = np.nan
                values[known] = self._anchor(measured, run, figure) + _sign(figure) * gains
        return values

    def draws(
        self,
        measured: NetworkTable,
        rows: Whole,
        objective: Objective,
        count: int = _DRAWS,
        seed: int = 0,
    ) -> Floats | None:
        """Draw what an objective of networks may come to, (count, k), jointly and minimised.

        None where it is neither loss nor accuracy, or where nothing is believed of one of them.
        """
        figure = objective.name
        gains = self.gains(measured, rows, figure, count, seed)
        if gains is None:
            return None
        anchors = np.empty(len(rows))
        for run, _, mine in self._parts(measured, rows):
            anchors[mine] = self._anchor(measured, run, figure)
        return np.asarray(objective.sign * anchors - gains)

    def gains(
        self,
        measured: NetworkTable,
        rows: Whole,
        figure: str = "loss",
        count: int = _DRAWS,
        seed: int = 0,
    ) -> Floats | None:
        """Draw what networks may gain in a figure, (count, k), jointly; None as `draws` has it."""
        if figure not in MEASURED:
            return None
        drawn = np.full((count, len(rows)), np.nan)
        for number, (_, belief, mine) in enumerate(self._parts(measured, rows)):
            architectures = measured.architectures_of(rows[mine])
            draw = belief.draws if figure == "loss" else belief.metric_draws
            # A belief draws by the next number, too; what runs have by chance is each one's own.
            drawn[:, mine] = draw(architectures, count, 1000 * seed + 2 * number)
            own = np.random.default_rng([seed, 1, number])
            drawn[:, mine] += _by_images(measured, rows[mine], belief, figure, count, own)
            drawn[:, mine[_is_plain(measured, rows[mine])]] = 0.0
        return None if np.isnan(drawn).any() else drawn

    def of_each(self, measured: NetworkTable, rows: Whole) -> list[BelievedGain]:
        """Return what each of some networks is believed to gain."""
        believed_gains = [UNKNOWN_GAIN] * len(rows)
        for _, belief, mine in self._parts(measured, rows):
            gains = _of_each(belief, measured, rows[mine])
            plain = _is_plain(measured, rows[mine])
            for place, gain, same in zip(mine.tolist(), gains, plain, strict=True):
                believed_gains[place] = NO_GAIN if same else gain
        return believed_gains

    def _anchor(self, measured: NetworkTable, run: str | None, figure: str) -> float:
        """Return the figure of the plain network of a run, told from the others without one."""
        columns = measured.columns
        mine = columns["run"] == run
        plain = np.flatnonzero(mine & (columns["reference"] == PLAIN))
        if plain.size:
            return float(columns[figure][plain[0]])
        some = np.flatnonzero(mine)[:_SOME]
        known = self._known(measured, some, self.by_run[run])
        gains = _gain(self.by_run[run], measured.architectures_of(some[known]), figure)
        return float(np.median(columns[figure][some[known]] - _sign(figure) * gains))

    def _parts(
        self, measured: NetworkTable, rows: Whole
    ) -> Iterator[tuple[str | None, NetworkBelief, Whole]]:
        """Return each run with its belief and which of some rows that can tell of."""
        runs = measured.columns["run"][rows]
        for run, belief in self.by_run.items():
            mine = np.flatnonzero(runs == run)
            mine = mine[self._known(measured, rows[mine], belief)]
            if mine.size:
                yield run, belief, mine

    @staticmethod
    def _known(measured: NetworkTable, rows: Whole, belief: NetworkBelief) -> NDArray[np.bool_]:
        known = [belief.knows(item) for item in measured.architectures_of(rows)]
        return np.array(known, dtype=np.bool_)


def _of_each(belief: NetworkBelief, measured: NetworkTable, rows: Whole) -> list[BelievedGain]:
    """Return what networks gain by the moments of the belief, whatever is asked for beside them."""
    architectures = measured.architectures_of(rows)
    loss = _widened(belief.gain(architectures), _image_noise(measured, rows, belief, "loss"))
    share = _widened(
        belief.metric_gain(architectures), _image_noise(measured, rows, belief, "accuracy")
    )
    by_loss, by_share = (ndtr(gain.mean / gain.deviation) for gain in (loss, share))
    better = np.where(np.isnan(by_share), by_loss, by_share)
    columns = [*_interval(share), *_interval(loss), better, by_loss]
    return [BelievedGain(*values) for values in np.stack(columns, axis=1).tolist()]


def _image_noise(measured: NetworkTable, rows: Whole, belief: NetworkBelief, figure: str) -> Floats:
    """Return the standard error (k,) of gains from the choice of validation images.

    A belief speaks of the images that networks were judged on. Of accuracy, where it was not
    measured, it is what the losses' comes to by the slope of the one over the other.
    """
    columns = measured.columns
    noise = np.nan_to_num(np.asarray(columns["image_noise"][rows], dtype=np.float64))
    if figure == "loss":
        return noise
    slope = belief.belief.metric_per_loss
    own = np.asarray(columns["accuracy_image_noise"][rows], dtype=np.float64)
    return np.where(np.isnan(own), noise * (0.0 if math.isnan(slope) else abs(slope)), own)


def _by_images(
    measured: NetworkTable,
    rows: Whole,
    belief: NetworkBelief,
    figure: str,
    count: int,
    rng: np.random.Generator,
) -> Floats:
    """Draw what the choice of images adds to gains, (count, k).

    Half of the variance of each is the plain network's, which all gains have in common.
    """
    noise = _image_noise(measured, rows, belief, figure) / math.sqrt(2)
    usual = rng.standard_normal((count, len(rows) + 1))
    common = float(np.sqrt((noise**2).mean())) if len(rows) else 0.0
    return usual[:, :-1] * noise + usual[:, -1:] * common


def _widened(gain: Gain, noise: Floats) -> Gain:
    return Gain(gain.mean, np.hypot(gain.deviation, noise))


def _interval(gain: Gain) -> tuple[Floats, Floats, Floats]:
    reach = float(ndtri((1 + GAIN_LEVEL) / 2)) * gain.deviation
    return gain.mean, gain.mean - reach, gain.mean + reach


def _gain(belief: NetworkBelief, architectures: list[Architecture], figure: str) -> Floats:
    gain = belief.gain if figure == "loss" else belief.metric_gain
    return np.array(gain(architectures).mean)


def _is_plain(measured: NetworkTable, rows: Whole) -> NDArray[np.bool_]:
    return np.asarray(measured.columns["reference"][rows] == PLAIN, dtype=np.bool_)


def _sign(figure: str) -> float:
    """Return 1 where a gain makes a figure larger, else -1."""
    return 1.0 if figure == "accuracy" else -1.0
