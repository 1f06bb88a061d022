"""Writing the rules of a run as a prior for the search of another backbone."""

from __future__ import annotations

import numpy as np

from nas.base.errors import SpecError
from nas.belief.additive_terms import IDLE
from nas.models.candidates import Candidates
from nas.models.site_locations import site_locations
from nas.report.explain.rules import Explanation
from nas.spec.prior import KnownEffect, KnownSite, Rules, SiteLocation

__all__ = ["rules_of"]

_LEAST = 1e-3  # of the spread of losses: nothing is known better


def rules_of(found: Explanation, candidates: Candidates, *, data: str) -> Rules:
    """The effects of an explanation by where the sites of its space lie.

    data: the images it was found on. Raises SpecError when all networks lose the same.
    """
    places: dict[str, SiteLocation] = {}
    several = len({backbone for backbone, _ in found.terms.networks}) > 1
    for plain, _ in candidates.plains():
        for name, where in site_locations(candidates, plain).items():
            places.setdefault(f"{plain.backbone}:{name}" if several else name, where)
    known = np.isfinite(found.front.measured.columns["loss"])
    losses = found.front.measured.columns["loss"][known]
    # As pareto's scale: a network that fails to train must not shrink all effects.
    centre = float(np.median(losses))
    spread = float(np.sqrt(np.mean((losses[losses <= centre] - centre) ** 2)))
    if not spread > 0:
        raise SpecError("all networks lose the same: there are no rules to write")
    sites = []
    for number, (name, labels) in enumerate(
        zip(found.terms.sites, found.terms.labels, strict=True)
    ):
        tried = [code for code, label in enumerate(labels) if label != IDLE]
        rows = np.array([found.contrast([(number, code)], found.terms) for code in tried])
        mean, deviation = found.loss.effect(rows)
        effects = [
            KnownEffect(
                label=labels[code],
                saved=-float(mean[row]) / spread,
                deviation=max(float(deviation[row]) / spread, _LEAST),
            )
            for row, code in enumerate(tried)
        ]
        where = places[name]
        sites.append(
            KnownSite(
                name=name,
                depth=where.depth,
                channels=where.channels,
                stride=where.stride,
                effects=effects,
            )  # fmt: skip
        )
    return Rules(
        space=candidates.space.name,
        data=data,
        backbones=list(dict.fromkeys(backbone for backbone, _ in found.terms.networks)),
        networks=len(found.codes),
        spread=spread,
        sites=sites,
    )
