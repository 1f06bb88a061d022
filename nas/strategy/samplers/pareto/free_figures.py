"""The points of a grid with the figures that are known of each without evaluating."""

from __future__ import annotations

import numpy as np

from nas.belief.grid import Codes, Floats, Grid
from nas.belief.points import PointSpace
from nas.belief.terms import SharedTerms
from nas.strategy.samplers.pareto.knowledge import Knowledge

__all__ = ["known_points"]


def known_points(grid: Grid, knowledge: Knowledge, sample: Codes) -> PointSpace:
    """Return the points of a grid, with their free figures on a common scale.

    sample: (n, d) points of the grid that the scale is taken from.
    """
    figures = _FreeFigures(grid, knowledge, sample)
    if knowledge.places is None:
        return PointSpace(grid, features=figures.scaled)
    terms = SharedTerms(grid, [knowledge.places[name] for name in grid.parameters])
    return PointSpace(
        grid,
        features=figures.scaled,
        terms=terms,
        groups=terms.groups,
        load=terms.load,
        reference=knowledge.reference,
    )


class _FreeFigures:
    """The scale of a grid's free figures: known objectives, then features."""

    def __init__(self, grid: Grid, knowledge: Knowledge, sample: Codes) -> None:
        self._grid = grid
        self._features = [*knowledge.objectives.values(), *knowledge.features]
        figures = self._figures(sample)
        self._logarithmic = (figures > 0).all(axis=0)
        self._least = figures.min(axis=0, initial=np.inf)
        figures = self._logarithms(figures)
        self._centre, self._spread = figures.mean(axis=0), figures.std(axis=0) + 1e-12

    def scaled(self, codes: Codes) -> Floats:
        """Return figures (n, f), each about standardised."""
        return np.asarray((self._logarithms(self._figures(codes)) - self._centre) / self._spread)

    def _figures(self, codes: Codes) -> Floats:
        columns = self._grid.columns(codes)
        figures = [np.asarray(feature(columns), dtype=np.float64) for feature in self._features]
        return np.stack(figures, axis=1) if figures else np.zeros((len(codes), 0))

    def _logarithms(self, figures: Floats) -> Floats:
        """Take logarithms where all of the sample are above 0.

        One that is not, such as the number of blocks of a network without any, counts as half of
        the least of them.
        """
        above = np.maximum(figures, self._least / 2)
        return np.where(self._logarithmic, np.log(np.where(self._logarithmic, above, 1.0)), figures)
