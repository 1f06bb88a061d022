"""Spaces of equal sites in a few stages, for worlds that are made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from nas.belief.grid import Codes, Floats, Grid
from nas.belief.points import PointSpace
from nas.belief.terms import Place, SharedTerms

__all__ = ["space_of"]


def space_of(
    sites: int, labels: Sequence[str], features: Callable[[Codes], Floats] | None = None
) -> PointSpace:
    """Return a space of sites, three to a stage, that offer the same labels, the first for none.

    features: codes (n, sites) -> (n, f), of which nearness counts; None: of nothing but terms.
    """
    grid = Grid({f"site {number}": labels for number in range(sites)})
    places = [Place(f"stage {number // 3}", number / (sites - 1), 1) for number in range(sites)]
    terms = SharedTerms(grid, places)
    space = PointSpace(
        grid,
        terms=terms,
        groups=terms.groups,
        load=terms.load,
        reference=np.zeros(sites, dtype=np.int64),
    )
    return space if features is None else replace(space, features=features)
