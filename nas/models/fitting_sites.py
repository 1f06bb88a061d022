"""The site rule of a space, as far as the backbones that took the place of its own fit it."""

from __future__ import annotations

from nas.backbones import Site, find_sites
from nas.models.build import is_excluded
from nas.spec.space import POSITIONS, SearchSpace

__all__ = ["with_fitting_sites"]


def with_fitting_sites(space: SearchSpace) -> tuple[SearchSpace, list[str]]:
    """Return a space whose backbones were exchanged, and what it no longer says, in sentences.

    Positions that none of them has give way to the usual ones (see `find_sites`), and patterns to
    exclude that match none of their sites are left out: both are of other networks. What is around
    a backbone stays.
    Raises SpecError for a backbone that there is not, or without sites.
    """
    backbones = space.backbones
    rule, notes = space.sites, list[str]()
    if rule.part != ["backbone"]:
        return space, notes
    sites = {name: _all_sites(space, name) for name in backbones}
    have = {site.position for each in sites.values() for site in each}
    names = ", ".join(backbones)
    if rule.position and not have.intersection(rule.position):
        rule = rule.model_copy(update={"position": []})
        usual = {site.position for name in backbones for site in _usual_sites(space, name)}
        notes.append(
            f"{names}: no site {' or '.join(space.sites.position)}, so blocks go "
            f"{' or '.join(sorted(usual))}"
        )
    idle = [
        pattern
        for pattern in rule.exclude
        if not any(is_excluded(site, [pattern], name) for name in sites for site in sites[name])
    ]
    if idle:
        kept = [pattern for pattern in rule.exclude if pattern not in idle]
        rule = rule.model_copy(update={"exclude": kept})
        notes.append(f"{names}: no site {', '.join(idle)}, so none is excluded by it")
    return space.model_copy(update={"sites": rule}), notes


def _all_sites(space: SearchSpace, backbone: str) -> tuple[Site, ...]:
    return find_sites(
        backbone,
        space.resolutions[0],
        space.total_stride,
        POSITIONS,
        space.sites.modules,
        space.output_stride,
    )


def _usual_sites(space: SearchSpace, backbone: str) -> tuple[Site, ...]:
    return find_sites(
        backbone, space.resolutions[0], space.total_stride, output_stride=space.output_stride
    )
