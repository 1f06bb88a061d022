"""Networks as a Gaussian model sees them: codes, figures that are free, and terms that add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.belief.grid import Codes, Floats, Grid

__all__ = ["PointSpace", "Points", "Precision"]

Precision = type[np.float32] | type[np.float64]
"""The type that covariances are computed in: screening a pool does with single precision."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a grid with what is known of them for free.

    codes: (n, d).
    features: (n, f), each about standardised, of which nearness counts.
    terms: (n, t), of which sums are made.
    load: (n,) 0 for the plain network to 1: how much there is that has to be learnt before it can
        help, so that trainings start slower with it.
    """

    grid: Grid
    codes: Codes
    features: Floats
    terms: Floats
    load: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Codes | NDArray[np.bool_] | slice) -> Points:
        return Points(
            self.grid, self.codes[rows], self.features[rows], self.terms[rows], self.load[rows]
        )

    def __add__(self, other: Points) -> Points:
        return Points(
            self.grid,
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.features, other.features]),
            np.concatenate([self.terms, other.terms]),
            np.concatenate([self.load, other.load]),
        )

    def one_hot(self, dtype: Precision = np.float64) -> Floats:
        """Return (n, c) over all choices of all parameters."""
        return self.grid.one_hot(self.codes, dtype)


def _none(codes: Codes) -> Floats:
    return np.zeros((len(codes), 0))


def _nothing(codes: Codes) -> Floats:
    return np.zeros(len(codes))


@dataclass(frozen=True, eq=False)
class PointSpace:
    """The points of a grid, and how features and terms are computed of their codes.

    features, terms, load: codes (n, d) -> (n, f), (n, t) and (n,), as of `Points`.
    groups: (t,) number of the group of each term; those of a group share one variance.
    reference: (d,) the plain network, whose gain is 0; None where values are no gains.
    """

    grid: Grid
    features: Callable[[Codes], Floats] = _none
    terms: Callable[[Codes], Floats] = _none
    groups: Codes = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    load: Callable[[Codes], Floats] = _nothing
    reference: Codes | None = None

    def points(self, codes: Codes) -> Points:
        """Return points with their features and terms."""
        return Points(self.grid, codes, self.features(codes), self.terms(codes), self.load(codes))
