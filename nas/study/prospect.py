"""What a search has gained so far, and what may be left to gain: as its belief has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nas.base.formats import format_interval

__all__ = ["PROSPECT", "Prospect"]

PROSPECT = "pareto:prospect"
"""The mark of a trial that holds what was believed when it was proposed; see `Prospect.row`."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """The belief about the best network, at one moment of a search.

    gain: loss that the network which seems best saves by full training against the plain one.
    low, high: the 90 % interval of that.
    regret: loss by which the best of all networks is expected to be better than it.
    per_loss: accuracy, as a share, that goes with a unit of loss; NaN where it was not learnt.
    """

    gain: float
    low: float
    high: float
    regret: float
    per_loss: float

    @property
    def row(self) -> list[float | None]:
        """Its numbers in a line; None for NaN, which not every database keeps."""
        values = (self.gain, self.low, self.high, self.regret, self.per_loss)
        return [value if math.isfinite(value) else None for value in values]

    @classmethod
    def of(cls, row: Sequence[float | None]) -> Prospect:
        """Read what `row` gave."""
        gain, low, high, regret, per_loss = (math.nan if v is None else v for v in row)
        return cls(gain, low, high, regret, per_loss)

    def to_dict(self) -> dict[str, float | str | None]:
        """Return it in its unit, for JSON."""
        values = (value if math.isfinite(value) else None for value in self.shown())
        names = ("gain", "gain_low", "gain_high", "regret")
        return {**dict(zip(names, values, strict=True)), "unit": self.unit}

    @property
    def in_points(self) -> bool:
        """Whether it can be said in points of accuracy; else in loss."""
        return math.isfinite(self.per_loss) and self.per_loss > 0

    @property
    def unit(self) -> str:
        """Points of accuracy, or loss."""
        return "points" if self.in_points else "loss"

    def shown(self) -> tuple[float, float, float, float]:
        """Return gain, low, high and regret in its unit."""
        scale = 100 * self.per_loss if self.in_points else 1.0
        return self.gain * scale, self.low * scale, self.high * scale, self.regret * scale

    def __str__(self) -> str:
        gain, low, high, regret = self.shown()
        digits = 2 if self.in_points else 4
        if gain == low == high == 0:
            text = "no gain over plain yet"
        else:
            interval = format_interval(gain, low, high, digits)
            text = f"best gain over plain {interval}"
        if math.isnan(regret):
            return f"{text} {self.unit}"
        return f"{text}, expected regret {max(0.0, regret):.{digits}f} {self.unit}"
