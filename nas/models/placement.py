"""A placement that somebody has in mind: blocks at sites that patterns name, as an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from nas.backbones import Site
from nas.base.errors import SpecError
from nas.blocks import block_named
from nas.spec.architecture import EMPTY, KEEP, Architecture, Insertion, parse_label

__all__ = ["place"]


def place(plain: Architecture, sites: Sequence[Site], placements: Sequence[str]) -> Architecture:
    """Put blocks at sites of a backbone, as `blocks.[0-2]*=coord/r32` says.

    sites: those that patterns may name.
    placements: each a pattern of sites, as `nas cost --exclude` has them, and a block. Of two that
        match a site the later counts. `none` empties a site that comes filled; `keep` leaves it.
        Options that a block is not given are the paper's.
    Raises SpecError for a pattern that matches no site, and a block that does not fit one.
    """
    labels: dict[str, str] = {}
    for placement in placements:
        pattern, equals, label = placement.partition("=")
        if not equals or not pattern or not label:
            raise SpecError(f"placement {placement!r}: write SITES=BLOCK, as blocks.0*=coord/r32")
        matching = [site.name for site in sites if fnmatchcase(site.name, pattern)]
        if not matching:
            names = ", ".join(site.name for site in sites)
            raise SpecError(f"placement {placement!r} matches no site; there are: {names}")
        labels |= dict.fromkeys(matching, label)
    insertions = (_insert(site, labels[site.name]) for site in sites if site.name in labels)
    return replace(plain, insertions=tuple(one for one in insertions if one is not None))


def _insert(site: Site, label: str) -> Insertion | None:
    """Return what a label puts at a site; None where that leaves it as it comes."""
    name, options = parse_label(label)
    if name in {KEEP, EMPTY}:
        if options:
            raise SpecError(f"{name!r} takes no options; found {', '.join(options)}")
        return Insertion(site.name, EMPTY) if name == EMPTY and site.filled else None
    block = block_named(name)
    complete = block.complete(options)
    if reason := block.applies(site, options):
        raise SpecError(f"{label} does not fit {site.name}: {reason}")
    return Insertion(site.name, name, tuple(complete.items()))
