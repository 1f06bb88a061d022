"""What a network is believed to gain by full training, as points carry it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas.base.formats import format_interval

__all__ = ["GAIN_LEVEL", "NO_GAIN", "UNKNOWN_GAIN", "BelievedGain"]

GAIN_LEVEL = 0.9
"""The level of a gain's interval."""


@dataclass(frozen=True, slots=True)
class BelievedGain:
    """What a network is believed to gain by full training over the plain one of its run.

    gain, gain_low, gain_high: in accuracy, as a share, with the ends of the 90 % interval.
    gain_loss, gain_loss_low, gain_loss_high: the same in loss that it saves.
    p_better: probability that the gain is above zero: of accuracy, or of loss where accuracy was
        not measured.
    p_better_loss: the same of loss, which tells more; where the two differ, it is not the loss that
        decides how often a network is right.
    All are NaN where there is no belief (of one network alone), those of accuracy where accuracy
    was not measured. Of the plain network all gains are zero, and the probabilities NaN.
    """

    gain: float = math.nan
    gain_low: float = math.nan
    gain_high: float = math.nan
    gain_loss: float = math.nan
    gain_loss_low: float = math.nan
    gain_loss_high: float = math.nan
    p_better: float = math.nan
    p_better_loss: float = math.nan

    @property
    def in_points(self) -> bool:
        """True where it is told in points of accuracy; else it is told in loss."""
        return not math.isnan(self.gain)

    def __str__(self) -> str:
        """Write it with its 90 % interval: `+0.45 [+0.29, +0.61]`; `?` where it is not known."""
        if self.in_points:
            return format_interval(100 * self.gain, 100 * self.gain_low, 100 * self.gain_high)
        return format_interval(self.gain_loss, self.gain_loss_low, self.gain_loss_high, 4)


UNKNOWN_GAIN = BelievedGain()
"""Of a network of which nothing is believed."""

NO_GAIN = BelievedGain(*[0.0] * 6)
"""Of the plain network."""
