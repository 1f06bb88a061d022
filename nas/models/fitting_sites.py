"""The site rule of a space, as far as the backbones that took the place of its own fit it."""

from __future__ import annotations

from nas.backbones import Site
from nas.models.build import is_excluded
from nas.models.task_sites import find_task_sites
from nas.spec.architecture import Architecture
from nas.spec.positions import POSITIONS
from nas.spec.space import SearchSpace, SiteRule
from nas.spec.task import Task

__all__ = ["with_fitting_sites"]


def with_fitting_sites(space: SearchSpace, task: Task) -> tuple[SearchSpace, list[str]]:
    """Return a space whose backbones were exchanged, and what it no longer says, in sentences.

    Positions that none of them has give way to the usual ones (see `find_sites`), and patterns to
    exclude that match none of their sites are left out: both are of other networks.
    task: what networks are for, however many classes there are.
    Raises SpecError for a backbone that there is not, or without sites.
    """
    backbones = space.backbones
    rule, notes = space.sites, list[str]()
    everywhere = rule.model_copy(update={"position": list(POSITIONS)})
    sites = {name: _sites(space, name, everywhere, task) for name in backbones}
    have = {site.position for each in sites.values() for site in each}
    names = ", ".join(backbones)
    if rule.position and not have.intersection(rule.position):
        rule = rule.model_copy(update={"position": []})
        sites_of_each = [_sites(space, name, SiteRule(part=rule.part), task) for name in backbones]
        usual = {site.position for each in sites_of_each for site in each}
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


def _sites(space: SearchSpace, backbone: str, rule: SiteRule, task: Task) -> tuple[Site, ...]:
    plain = Architecture(
        backbone, space.resolutions[0], (), space.total_stride, space.output_stride
    )
    return find_task_sites(plain, rule, task)
