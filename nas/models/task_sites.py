"""The sites of a task's whole network: those of its backbone, and of its neck and head."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from nas.backbones import FeatureMap, Site, find_sites, sites_by_name
from nas.backbones.sites.slot import usual_positions
from nas.backbones.sites.walk import outputs, walk_part
from nas.base.errors import SpecError
from nas.models.own_network import check_outputs
from nas.models.task_network import (
    AROUND,
    is_read,
    part_of,
    plain_network_of,
)
from nas.spec.architecture import Architecture
from nas.spec.own_backbone import is_held
from nas.spec.positions import PARTS, POSITIONS, Part
from nas.spec.task import OWN, Task

if TYPE_CHECKING:  # which needs pydantic, as trainings do not
    from nas.spec.space import SiteRule

__all__ = ["all_task_sites", "find_task_sites", "fine_map", "task_sites_by_name"]

_SHOWN = 6  # paths in an error
_FINE = 8


def find_task_sites(plain: Architecture, rule: SiteRule, task: Task | None) -> tuple[Site, ...]:
    """Find the sites of a plain network that a rule is about, in the order of its parts.

    Patterns to exclude are left to the caller.
    task: what the network is for; None: not known, so that its backbone alone is.
    Raises SpecError when a part has no such site, or images are too small for the network.
    """
    if task is not None and task.head == OWN:
        return tuple(_sites_in(plain, rule.part, rule, task))
    sites: list[Site] = []
    patterns = [pattern for pattern in rule.modules if not pattern.startswith(AROUND)]
    if "backbone" in rule.part and (rule.position or patterns or not rule.modules):
        sites += find_sites(
            plain.backbone,
            plain.resolution,
            plain.total_stride,
            rule.position,
            patterns,
            plain.output_stride,
        )
    parts = tuple(part for part in rule.part if part != "backbone")
    if parts:
        sites += _sites_in(plain, parts, rule, _with_head(task, f"sites: part {parts[0]}"))
    return tuple(sites)


def all_task_sites(plain: Architecture, task: Task) -> tuple[Site, ...]:
    """Find every site of a plain network that it reads, in the order of its parts.

    Raises SpecError when its backbone has none, or images are too small for the network.
    """
    if task.head == OWN:
        return tuple(site for part in PARTS for site in _walked(plain, task, part))
    of_backbone = find_sites(
        plain.backbone, plain.resolution, plain.total_stride, POSITIONS, (), plain.output_stride
    )
    if task.is_classification:
        return of_backbone
    read = (site for site in of_backbone if is_read(plain, task, site.slot))
    return (*read, *_walked(plain, task, "neck"), *_walked(plain, task, "head"))


def task_sites_by_name(
    architecture: Architecture, task: Task, names: Sequence[str]
) -> dict[str, Site]:
    """Find the sites with these names, wherever in the network of a task they are.

    Raises SpecError when there is none of a name.
    """
    if task.head == OWN:
        return _named(architecture.plain, PARTS, task, names)
    chosen = sites_by_name(
        architecture.backbone,
        architecture.resolution,
        architecture.total_stride,
        tuple(name for name in names if not name.startswith(AROUND)),
        architecture.output_stride,
    )
    around = [name for name in names if name.startswith(AROUND)]
    if around:
        task = _with_head(task, f"site {around[0]!r}")
        chosen |= _named(architecture.plain, ("neck", "head"), task, around)
    return chosen


def fine_map(plain: Architecture, task: Task) -> FeatureMap:
    """Return the last map of stride 8 or finer that the backbone in a user's own network gives.

    All that a detector finds comes from there.
    Raises SpecError where there is none.
    """
    side = plain.size.height
    maps = [
        FeatureMap(one.slot.module, one.channels, one.height, one.width, side // one.height)
        for one in _outputs(plain, task, "*")
        if one.part == "backbone" and one.height * _FINE >= side
    ]
    if not maps:
        raise SpecError(f"backbone {plain.backbone!r} gives no map of stride {_FINE} or finer")
    return maps[-1]


def _named(
    plain: Architecture, parts: Sequence[Part], task: Task, names: Sequence[str]
) -> dict[str, Site]:
    sites = {site.name: site for part in parts for site in _walked(plain, task, part)}
    for name in names:
        path, _, position = name.rpartition("/")
        if position == "output":
            sites |= {site.name: site for site in _outputs(plain, task, path)}
        if name not in sites:
            near = difflib.get_close_matches(name, sites, n=5) or list(sites)[:5]
            raise SpecError(
                f"{_whose(plain, task)} has no site {name!r}; it has: {', '.join(near) or 'none'}"
            )
    return {name: sites[name] for name in names}


def _whose(plain: Architecture, task: Task) -> str:
    return f"backbone {plain.backbone!r}" if task.head == OWN else f"head {task.head!r}"


def _with_head(task: Task | None, asked: str) -> Task:
    if task is None or task.is_classification:
        raise SpecError(
            f"{asked}: a network of classification is its backbone alone; leave it out, or name "
            "another task, such as --task segmentation"
        )
    return task


def _sites_in(plain: Architecture, parts: Sequence[Part], rule: SiteRule, task: Task) -> list[Site]:
    """Return the sites of parts: those at positions, and those that patterns name."""
    sites: list[Site] = []
    for part in parts:
        there = _walked(plain, task, part)
        wanted = tuple(rule.position) or (() if rule.modules else usual_positions(there))
        chosen = [site for site in there if site.position in wanted]
        if wanted and not chosen:
            raise SpecError(_no_site(plain, task, part, wanted))
        sites += chosen
    for pattern in rule.modules:
        if task.head == OWN or pattern.startswith(AROUND):
            matching = [site for site in _outputs(plain, task, pattern) if site.part in parts]
            if not matching:
                raise SpecError(
                    f"sites: modules {pattern!r}: no such module of {_whose(plain, task)} gives a "
                    f"feature map in its {' or '.join(parts)}"
                )
            sites += [site for site in matching if site not in sites]
    return sites


def _no_site(plain: Architecture, task: Task, part: Part, wanted: Sequence[str]) -> str:
    asked = f"sites: part {part}: {_whose(plain, task)}"
    have = sorted({site.position for site in _walked(plain, task, part)})
    if have:
        return f"{asked} has no site {' or '.join(wanted)} there; it has: {', '.join(have)}"
    everywhere = _outputs(plain, task, "*" if task.head == OWN else f"{AROUND}*")
    named = [site.slot.module for site in everywhere if site.part == part]
    if not named:
        return f"{asked} has nothing that is a {part}; leave it out"
    shown = ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")
    return (
        f"{asked} has neither a residual block nor a spatial convolution there; any module takes a "
        f"block by its path, as sites: modules; there are: {shown}"
    )


@lru_cache(maxsize=64)
def _walked(plain: Architecture, task: Task, part: Part) -> tuple[Site, ...]:
    # One that was given in memory has as many classes as it has.
    if not is_held(plain.backbone) or task.name == "detection":
        check_outputs(plain, task)
    network = plain_network_of(plain, task)
    return walk_part(network, plain.resolution, part, lambda path: part_of(path, task) == part)


@lru_cache(maxsize=256)
def _outputs(plain: Architecture, task: Task, pattern: str) -> tuple[Site, ...]:
    sites = outputs(plain_network_of(plain, task), plain.resolution, pattern)
    return tuple(
        replace(site, slot=replace(site.slot, part=part_of(site.slot.module, task)))
        for site in sites
    )
