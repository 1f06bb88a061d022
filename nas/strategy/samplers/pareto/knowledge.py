"""The knowledge that a sampler need not learn, and the observations that it learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.belief.evidence import Evidence
from nas.belief.grid import Codes, Columns, Floats
from nas.belief.terms import Place

__all__ = ["Feature", "Knowledge", "Observations", "TargetedEvidence"]

Feature = Callable[[Columns], Floats]
"""A figure that needs no evaluation, of n points at once: columns to (n,)."""


@dataclass(frozen=True, eq=False)
class Knowledge:
    """The knowledge about all points without evaluating.

    objectives: whole objectives, by number; costs, minimised.
    features: further figures.
    allowed: columns -> (n,) whether points may be evaluated at all; None: all may.
    settled: (n, d) -> (n, d) codes with the first choice wherever a parameter has no bearing
        because of another one's choice, so that equal candidates are equal points; None: every
        parameter always bears.
    focus: objective, by number -> from where to where its costs matter.
    places: parameter -> where its sites lie, so that what is learnt of a block at one site bears
        on others; None where parameters have nothing in common.
    reference: (d,) codes of the plain network; None where there is none.
    design: (k, d) points to begin with; None: spread over what is known for free.
    """

    objectives: Mapping[int, Feature] = field(default_factory=dict)
    features: Sequence[Feature] = ()
    allowed: Callable[[Columns], NDArray[np.bool_]] | None = None
    settled: Callable[[Codes], Codes] | None = None
    focus: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    places: Mapping[str, Place] | None = None
    reference: Codes | None = None
    design: Codes | None = None


@dataclass(frozen=True, eq=False)
class TargetedEvidence:
    """Trainings as rows of evidence, and what they are evidence of.

    target_images: that a full training sees.
    """

    rows: Evidence
    target_images: float


@dataclass(frozen=True, eq=False)
class Observations:
    """The points that were proposed so far, with what came of them.

    codes: (n, d), in the order that they were proposed in.
    costs: (n, m), minimised; NaN where a cost is not known yet.
    failed: (n,) whether it never will be: networks over a limit that only measuring tells,
        mostly, which a model takes for as bad as any that there are.
    noise: objective, by number -> standard deviation of one evaluation, where repeats tell it.
    evidence: objective, by number -> every training that bears on it, of whichever length and
        seed, in place of its costs.
    """

    codes: Codes
    costs: Floats
    failed: NDArray[np.bool_]
    noise: Mapping[int, float] = field(default_factory=dict)
    evidence: Mapping[int, TargetedEvidence] = field(default_factory=dict)

    @property
    def done(self) -> NDArray[np.bool_]:
        """The points (n,) all of whose costs are known."""
        return np.asarray(np.isfinite(self.costs).all(axis=1) & ~self.failed)

    @property
    def ended(self) -> NDArray[np.bool_]:
        """The points (n,) that are not being evaluated any more."""
        return self.done | self.failed

    def costs_at_worst(self) -> Floats:
        """Return costs (n, m) where failed points have the worst of each objective."""
        worst = self.costs[self.done].max(axis=0)
        return np.where(self.failed[:, None], worst, self.costs)
