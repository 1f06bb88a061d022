"""Blocks that share weights: which of an architecture's do, and how they come to."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from nas.backbones import Site
from nas.spec.architecture import EMPTY, Architecture, Insertion

__all__ = ["shared_key", "sharing_sites", "tie", "untied"]


def shared_key(site: Site, label: str) -> tuple[object, ...]:
    """Return a value that is equal for blocks of one set of weights, where a stage shares them.

    They are equal blocks on equal maps of one stage.
    """
    maps = site.maps or ((site.height, site.width),)
    return site.part, site.stage, site.channels, maps, label


def sharing_sites(
    architecture: Architecture, placements: Sequence[tuple[Site, Insertion]]
) -> dict[str, tuple[str, ...]]:
    """Return, for each site whose block shares weights, all sites that have them.

    placements: the insertions with their sites, in the order of the forward pass.
    """
    if architecture.share is None:
        return {}
    groups: dict[tuple[object, ...], list[str]] = {}
    for site, insertion in placements:
        if insertion.block != EMPTY:
            groups.setdefault(shared_key(site, insertion.label), []).append(site.name)
    return {name: tuple(names) for names in groups.values() if len(names) > 1 for name in names}


def tie(first: nn.Module, other: nn.Module) -> None:
    """Let a module compute with the parameters of another one of its kind, in place.

    Batch norms keep statistics of their own: each sees the maps of its own site.
    """
    for name, parameter in first.named_parameters():
        path, _, attribute = name.rpartition(".")
        setattr(other.get_submodule(path), attribute, parameter)


def untied(network: nn.Module) -> nn.Module:
    """Return the network with parameters that no two modules have in common.

    It computes the same. Where nothing is shared, it is the network itself.
    """
    every = list(network.named_parameters(remove_duplicate=False))
    if len(every) == len(list(network.parameters())):
        return network
    network = copy.deepcopy(network)
    seen: set[int] = set()
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in seen:
                setattr(module, name, nn.Parameter(parameter.detach().clone(), False))
            seen.add(id(parameter))
    return network
