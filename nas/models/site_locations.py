"""Where the sites of a network lie: what rules of another network go by."""

from __future__ import annotations

from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.prior import SiteLocation

__all__ = ["site_locations"]


def site_locations(candidates: Candidates, plain: Architecture) -> dict[str, SiteLocation]:
    """Return where each site lies in one of the space's plain networks, by the site's name."""
    sites = [site for decision in candidates.decisions(plain) for site in decision.sites]
    last = max(1, len(sites) - 1)
    return {
        site.name: SiteLocation(
            number / last, site.channels, plain.size.height / max(site.height, 1)
        )
        for number, site in enumerate(sites)
    }
