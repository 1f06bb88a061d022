"""The rules of a run as a prior for the search of another backbone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.base.errors import SpecError
from nas.belief.additive_terms import IDLE
from nas.models.candidates import Candidates
from nas.models.site_locations import site_locations
from nas.report.explain.explanation import Explanation
from nas.spec.prior import KnownEffect, KnownSite, Rules, SiteLocation

__all__ = ["make_search_prior"]

_LEAST_DEVIATION = 1e-3  # of the spread of losses: nothing is known better


def make_search_prior(explanation: Explanation, candidates: Candidates, *, data: str) -> Rules:
    """Return the effects of an explanation by where the sites of its space lie.

    candidates: of the space that was searched.
    data: name of the images it was searched on.
    Raises SpecError when all networks lose the same.
    """
    terms = explanation.terms
    spread = _loss_spread(explanation)
    locations = _locate_sites(explanation, candidates)
    sites = []
    for number, (name, labels) in enumerate(zip(terms.sites, terms.labels, strict=True)):
        where = locations[name]
        sites.append(
            KnownSite(
                name=name,
                depth=where.depth,
                channels=where.channels,
                stride=where.stride,
                effects=_known_effects(explanation, number, labels, spread),
            )  # fmt: skip
        )
    return Rules(
        space=candidates.space.name,
        data=data,
        backbones=list(dict.fromkeys(backbone for backbone, _ in terms.networks)),
        networks=len(explanation.codes),
        spread=spread,
        sites=sites,
    )


def _locate_sites(explanation: Explanation, candidates: Candidates) -> dict[str, SiteLocation]:
    """Return where the sites lie, by their names in the explanation."""
    locations: dict[str, SiteLocation] = {}
    several = len({backbone for backbone, _ in explanation.terms.networks}) > 1
    for plain, _ in candidates.plains():
        for name, where in site_locations(candidates, plain).items():
            locations.setdefault(f"{plain.backbone}:{name}" if several else name, where)
    return locations


def _loss_spread(explanation: Explanation) -> float:
    """Return the spread of losses below their median, on the scale of the pareto sampler.

    A network that fails to train must not shrink all effects.
    """
    losses = explanation.front.measured.columns["loss"]
    losses = losses[np.isfinite(losses)]
    centre = float(np.median(losses))
    spread = float(np.sqrt(np.mean((losses[losses <= centre] - centre) ** 2)))
    if not spread > 0:
        raise SpecError("all networks lose the same: there are no rules to write")
    return spread


def _known_effects(
    explanation: Explanation, site: int, labels: Sequence[str], spread: float
) -> list[KnownEffect]:
    tried = [code for code, label in enumerate(labels) if label != IDLE]
    rows = np.array([explanation.contrast([(site, code)], explanation.terms) for code in tried])
    mean, deviation = explanation.loss.effect(rows)
    return [
        KnownEffect(
            label=labels[code],
            saved=-float(mean[row]) / spread,
            deviation=max(float(deviation[row]) / spread, _LEAST_DEVIATION),
        )
        for row, code in enumerate(tried)
    ]
