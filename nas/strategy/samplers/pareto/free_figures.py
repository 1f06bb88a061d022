"""The figures that are known of every point without evaluating, on a common scale."""

from __future__ import annotations

import numpy as np

from nas.belief.grid import Codes, Floats, Grid
from nas.strategy.samplers.pareto.kernel import Inputs
from nas.strategy.samplers.pareto.knowledge import Knowledge

__all__ = ["FreeFigures"]


class FreeFigures:
    """The scale of a grid's free figures: known objectives, then features.

    sample: (n, d) points of the grid that the scale is taken from.
    """

    def __init__(self, grid: Grid, knowledge: Knowledge, sample: Codes) -> None:
        self._grid = grid
        self._features = [*knowledge.objectives.values(), *knowledge.features]
        figures = self._figures(sample)
        self._logarithmic = (figures > 0).all(axis=0)
        self._least = figures.min(axis=0, initial=np.inf)
        figures = self._scaled(figures)
        self._centre, self._spread = figures.mean(axis=0), figures.std(axis=0) + 1e-12

    def inputs(self, codes: Codes) -> Inputs:
        """Return points with their free figures, each about standardised."""
        figures = (self._scaled(self._figures(codes)) - self._centre) / self._spread
        return Inputs(self._grid, codes, figures)

    def _figures(self, codes: Codes) -> Floats:
        columns = self._grid.columns(codes)
        figures = [np.asarray(feature(columns), dtype=np.float64) for feature in self._features]
        return np.stack(figures, axis=1) if figures else np.zeros((len(codes), 0))

    def _scaled(self, figures: Floats) -> Floats:
        """Take logarithms where all of the sample are above 0.

        One that is not, such as the number of blocks of a network without any, counts as half of
        the least of them.
        """
        above = np.maximum(figures, self._least / 2)
        return np.where(self._logarithmic, np.log(np.where(self._logarithmic, above, 1.0)), figures)
