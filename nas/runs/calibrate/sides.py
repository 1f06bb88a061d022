"""A proxy beside full training, compared by other images where that can be done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.runs.calibrate.agreement import Agreement, Resolution, agreement, resolution
from nas.runs.calibrate.judging_images import Compared

__all__ = ["Sides"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides of a calibration, higher being better: n networks, t and s seeds.

    proxy: (n, t) and full: (n, s), by all images that judge a side; NaN where missing.
    by_groups: both by groups of the images that judge both; None: it is not known, or others judge
        the proxy.
    own: whether the groups are of this very proxy, which is then held against full training by
        images that the other side does not see. False: they are of the same proxy at another
        budget; what the same images do to both is then taken from there, and out.
    """

    proxy: Floats
    full: Floats
    by_groups: Compared | None = None
    own: bool = True

    def agreement(self, seeds: int | None = None) -> Agreement:
        """Return how far they agree; seeds: of the proxy together, None for all."""
        groups = self.by_groups
        if groups is None:
            return agreement(self.proxy, self.full, seeds=seeds)
        if self.own:
            return agreement(*groups.halves(), seeds=seeds, images=groups.half_noise)
        return agreement(self.proxy, self.full, seeds=seeds, images=groups.common)

    def resolution(self, difference: float, seeds: int | None = None) -> Resolution:
        """Return what the proxy tells apart; difference: in units of full quality."""
        groups = self.by_groups
        if groups is None:
            return resolution(self.proxy, self.full, difference=difference, seeds=seeds)
        return resolution(
            self.proxy,
            self.full,
            difference=difference,
            seeds=seeds,
            images=groups.noise if self.own else groups.common,
            apart=groups.halves() if self.own else None,
        )
