"""The sites of a run's backbones in the order of the data, for drawing networks over them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.base.errors import NasError
from nas.spec.architecture import Architecture
from nas.spec.space import SearchSpace

__all__ = ["BackboneSites", "SiteMark", "backbones_of"]


@dataclass(frozen=True, slots=True)
class SiteMark:
    """A site: its map is channels x side x side; None where only its name is known."""

    name: str
    stage: str
    channels: int | None = None
    side: int | None = None
    filled: bool = False


@dataclass(frozen=True, slots=True)
class BackboneSites:
    """One backbone at one resolution."""

    name: str
    resolution: int
    spots: tuple[SiteMark, ...]


def backbones_of(
    space: SearchSpace, architectures: list[Architecture]
) -> dict[tuple[str, int], BackboneSites]:
    """By (backbone, resolution): all sites that the space searches.

    A user's own function is not called for a report: reading a run runs no code of its space.
    There, and where the installed libraries no longer know a backbone, the sites are those that
    some network of the run has a block at.
    """
    found = {} if any(":" in name for name in space.backbones) else _traced(space)
    seen: dict[tuple[str, int], set[str]] = {}
    for item in architectures:
        sites = seen.setdefault((item.backbone, item.resolution), set())
        sites |= {insertion.site for insertion in item.insertions}
    for key, sites in seen.items():
        known = found.get(key)
        if known is None or not sites <= {spot.name for spot in known.spots}:
            names = sorted(sites, key=_natural)
            found[key] = BackboneSites(*key, tuple(SiteMark(name, _stage(name)) for name in names))
    return found


def _traced(space: SearchSpace) -> dict[tuple[str, int], BackboneSites]:
    from nas.models.candidates import Candidates

    try:
        plains = Candidates(space).plains()
    except NasError:
        return {}
    return {
        (plain.backbone, plain.resolution): BackboneSites(
            plain.backbone,
            plain.resolution,
            tuple(
                SiteMark(site.name, site.stage, site.channels, site.height, site.filled)
                for site in sites
            ),
        )
        for plain, sites in plains
    }


def _natural(name: str) -> list[tuple[int, str]]:
    """blocks.10 comes after blocks.9."""
    return [(int(part or -1), text) for text, part in re.findall(r"(\D+)(\d*)", name)]


def _stage(name: str) -> str:
    host = name.partition("/")[0]
    return host.rpartition(".")[0] or host
