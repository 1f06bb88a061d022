"""The sites of a run's backbones in the order of the data, for drawing networks over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.base.errors import NasError
from nas.base.natural_order import natural_key
from nas.base.size import Resolution
from nas.spec.architecture import Architecture
from nas.spec.space import SearchSpace
from nas.spec.task import Task

__all__ = ["BackboneKey", "BackboneSites", "DrawnSite", "find_backbone_sites"]

BackboneKey = tuple[str, Resolution]
"""(backbone, resolution)."""


@dataclass(frozen=True, slots=True)
class DrawnSite:
    """A site of a backbone.

    channels, height, width: of its map; None where only its name is known.
    filled: whether the backbone has a block of its own there.
    """

    name: str
    stage: str
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    filled: bool = False


@dataclass(frozen=True, slots=True)
class BackboneSites:
    """One backbone at one resolution, and its sites in the order of the data."""

    name: str
    resolution: Resolution
    sites: tuple[DrawnSite, ...]


def find_backbone_sites(
    space: SearchSpace, task: Task, architectures: Sequence[Architecture]
) -> dict[BackboneKey, BackboneSites]:
    """Return all sites that a space searches, by backbone and resolution.

    A user's own function is not called for a report: reading a run runs no code of its space.
    There, and where the installed libraries no longer know a backbone, the sites are those that
    some network of the run has a block at.
    """
    backbones = {} if any(":" in name for name in space.backbones) else _trace(space, task)
    for key, names in _sites_with_blocks(architectures).items():
        traced = backbones.get(key)
        if traced is None or not names <= {site.name for site in traced.sites}:
            ordered = sorted(names, key=natural_key)
            sites = tuple(DrawnSite(name, _stage(name)) for name in ordered)
            backbones[key] = BackboneSites(*key, sites)
    return backbones


def _sites_with_blocks(architectures: Sequence[Architecture]) -> Mapping[BackboneKey, set[str]]:
    names: dict[BackboneKey, set[str]] = {}
    for network in architectures:
        sites = names.setdefault((network.backbone, network.resolution), set())
        sites |= {insertion.site for insertion in network.insertions}
    return names


def _trace(space: SearchSpace, task: Task) -> dict[BackboneKey, BackboneSites]:
    from nas.models.candidates import Candidates

    try:
        plains = Candidates(space, task).plains()
    except NasError:
        return {}
    return {
        (plain.backbone, plain.resolution): BackboneSites(
            plain.backbone,
            plain.resolution,
            tuple(
                DrawnSite(
                    site.name, site.stage, site.channels, site.height, site.width, site.filled
                )
                for site in sites
            ),
        )
        for plain, sites in plains
    }


def _stage(name: str) -> str:
    host = name.partition("/")[0]
    return host.rpartition(".")[0] or host
