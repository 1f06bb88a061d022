"""Costs on a scale that one network which fails to train does not flatten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from nas.samplers.pareto.grid import Floats
from nas.samplers.pareto.improvement import Normal

__all__ = ["Scale", "Skewed"]

_LEAST = 1e-9


@dataclass(frozen=True)
class Scale:
    """Linear in the better half, where a front is, and logarithmic beyond it.

    centre, unit: median, and root mean square of how far the better half lies from it.
    """

    centre: float
    unit: float

    @classmethod
    def of(cls, costs: Floats) -> Scale:
        """costs: (n,), minimised."""
        centre = float(np.median(costs))
        better = centre - costs[costs <= centre]
        unit = float(np.sqrt((better**2).mean()))
        return cls(centre, unit if unit > 0 else max(float(np.ptp(costs)), _LEAST))

    def to(self, costs: Floats) -> Floats:
        """About standardised."""
        z = (costs - self.centre) / self.unit
        return np.where(z > 0, np.log1p(np.maximum(z, 0)), z)

    def back(self, values: Floats) -> Floats:
        """Costs of what `to` gave."""
        z = np.where(values > 0, np.expm1(np.clip(values, 0, 50)), values)
        return np.asarray(self.centre + self.unit * z)


@dataclass(frozen=True, eq=False)
class Skewed:
    """Costs whose values on a scale are normal. mean, deviation: (n,), on that scale."""

    scale: Scale
    mean: Floats
    deviation: Floats

    def below(self, level: float) -> Floats:
        """E[(level - Y)+], (n,): exact in both parts of the scale."""
        top = float(self.scale.to(np.array([level]))[0])
        unit, mean = self.scale.unit, self.mean
        spread = np.maximum(self.deviation, _LEAST)
        if top <= 0:
            return unit * Normal(mean, spread).below(top)
        # Up to the centre as far as there, and what is between, and then between the two
        # with (e^top - e^t) of a lognormal.
        linear = Normal(mean, spread).below(0.0)
        at_zero, at_top = ndtr(-mean / spread), ndtr((top - mean) / spread)
        shifted = mean + spread**2
        growth = np.exp(np.minimum(mean + 0.5 * spread**2, 50))
        partial = growth * (ndtr((top - shifted) / spread) - ndtr(-shifted / spread))
        between = np.exp(top) * (at_top - at_zero) - partial
        return np.asarray(unit * (linear + np.expm1(top) * at_zero + np.maximum(between, 0)))
