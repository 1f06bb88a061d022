"""Where the sites of a network lie: what rules of another network go by."""

from __future__ import annotations

from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.prior import SiteLocation

__all__ = ["site_places"]


def site_places(candidates: Candidates, plain: Architecture) -> dict[str, SiteLocation]:
    """Site -> where it lies, for one of the space's plain networks."""
    sites = [site for place in candidates.places(plain) for site in place.sites]
    last = max(1, len(sites) - 1)
    return {
        site.name: SiteLocation(
            number / last, site.channels, plain.resolution / max(site.height, 1)
        )
        for number, site in enumerate(sites)
    }
