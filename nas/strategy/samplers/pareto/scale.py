"""The scale of costs that one network which fails to train does not flatten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.belief.grid import Floats

__all__ = ["Scale"]

_LEAST = 1e-9


@dataclass(frozen=True)
class Scale:
    """A scale that is linear in the better half, where a front is, and logarithmic beyond it.

    centre: median of the costs.
    unit: root mean square of how far the better half lies from it.
    """

    centre: float
    unit: float

    @classmethod
    def of(cls, costs: Floats) -> Scale:
        """Take the scale of costs (n,), minimised."""
        centre = float(np.median(costs))
        better = centre - costs[costs <= centre]
        unit = float(np.sqrt((better**2).mean()))
        return cls(centre, unit if unit > 0 else max(float(np.ptp(costs)), _LEAST))

    def apply(self, costs: Floats) -> Floats:
        """Return costs on the scale, about standardised."""
        z = (costs - self.centre) / self.unit
        return np.where(z > 0, np.log1p(np.maximum(z, 0)), z)

    def deviation(self, noise: float) -> float:
        """Return what a standard deviation of costs is on the scale, where it is linear."""
        return noise / self.unit
