"""Architectures as networks: building, hand-placing blocks uniformly, and deploying."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from nas.architecture import EMPTY, Architecture, Insertion, Option, block_label
from nas.backbones import Site, find_sites, plain_network
from nas.blocks import block_named
from nas.errors import SpecError

__all__ = [
    "KEEP",
    "build",
    "deploy",
    "inserted_modules",
    "inserted_prefixes",
    "selected_sites",
    "uniform",
]

KEEP = "keep"
"""As a uniform choice: the slot stays as the backbone comes."""


def build(
    architecture: Architecture,
    *,
    num_classes: int = 1000,
    start: str = "paper",
    weights: Mapping[str, Tensor] | None = None,
    pretrained: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Build the network of an architecture, in evaluation mode: NCHW images to class scores.

    start: `paper` or `identity`, the first weights of the inserted blocks (see make_block).
    weights: the plain backbone's, by their names there; blocks keep their own.
    seed: with one seed, a block gets the same first weights in every architecture that has
    it at that site, which pairs comparisons. Raises SpecError.
    """
    network = plain_network(
        architecture.backbone,
        num_classes=num_classes,
        total_stride=architecture.total_stride,
        pretrained=pretrained,
        seed=seed,
    )
    if weights is not None:
        network.load_state_dict(dict(weights))
    sites = _sites_by_name(architecture)
    for insertion in architecture.insertions:
        site = sites.get(insertion.site)
        if site is None:
            raise SpecError(
                f"backbone {architecture.backbone!r} has no site {insertion.site!r}; "
                f"it has: {', '.join(sites)}"
            )
        site.slot.fill(network, _module(insertion, site, start, seed))
    return network.eval()


def _module(insertion: Insertion, site: Site, start: str, seed: int) -> nn.Module:
    if insertion.block == EMPTY:
        return nn.Identity()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed_at(seed, site.name))
        block = block_named(insertion.block)
        options = dict(insertion.options)
        return block.assemble(site.channels, site.height, site.width, start, options).eval()


def _seed_at(seed: int, site: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{site}".encode()).digest()[:7], "big")


def _sites_by_name(architecture: Architecture) -> dict[str, Site]:
    sites = find_sites(architecture.backbone, architecture.resolution, architecture.total_stride)
    return {site.name: site for site in sites}


def inserted_modules(network: nn.Module, architecture: Architecture) -> list[nn.Module]:
    """The inserted blocks of a network, in the order of the forward pass."""
    named = {item.site for item in architecture.blocks}
    return [
        site.slot.block(network)
        for name, site in _sites_by_name(architecture).items()
        if name in named
    ]


def inserted_prefixes(architecture: Architecture) -> tuple[str, ...]:
    """What the names of the inserted blocks' weights begin with, in the network's state."""
    sites = _sites_by_name(architecture)
    slots = [sites[item.site].slot for item in architecture.blocks]
    return tuple(f"{slot.holder}.{slot.child}." for slot in slots)


def deploy(network: nn.Module, architecture: Architecture) -> nn.Module:
    """Fold the doubled gates of an identity start into the layers that follow, in place.

    The output stays the same to the last bit (factors are powers of two), and what is left
    is the block as its authors wrote it: the identity start costs nothing after export.
    Where no linear layer follows a slot, the doubled gates stay.
    """
    sites = _sites_by_name(architecture)
    for insertion in architecture.blocks:
        slot = sites[insertion.site].slot
        if slot.follower is None:
            continue
        follower = network.get_submodule(slot.follower)
        assert isinstance(follower, nn.Conv2d)
        with torch.no_grad():
            follower.weight.mul_(block_named(insertion.block).fold(slot.block(network)))
    return network


def selected_sites(sites: Sequence[Site], exclude: Sequence[str]) -> tuple[Site, ...]:
    """Leave out the sites that match a pattern such as `blocks.0.*`. Raises SpecError when a
    pattern matches nothing, or everything is left out.
    """
    for pattern in exclude:
        if not any(fnmatchcase(site.name, pattern) for site in sites):
            raise SpecError(
                f"exclude {pattern!r} matches no site; there are: "
                f"{', '.join(site.name for site in sites)}"
            )
    kept = tuple(
        site for site in sites if not any(fnmatchcase(site.name, item) for item in exclude)
    )
    if not kept:
        raise SpecError(f"exclude {list(exclude)} leaves no site of {len(sites)}")
    return kept


def uniform(
    backbone: str,
    block: str,
    *,
    resolution: int = 224,
    total_stride: int | None = None,
    exclude: Sequence[str] = (),
    **options: Option,
) -> Architecture:
    """A hand-placed network: one block at every site, as the papers do.

    block: a name in BLOCKS with options (those not given are the paper's), `none` (every
    slot emptied) or `keep` (the backbone as it comes). Raises SpecError.
    """
    sites = selected_sites(find_sites(backbone, resolution, total_stride), exclude)
    if block in {KEEP, EMPTY} and options:
        raise SpecError(f"{block!r} takes no options; found {', '.join(options)}")
    insertions: list[Insertion] = []
    if block == EMPTY:
        insertions = [Insertion(site.name, EMPTY) for site in sites if site.filled]
    elif block != KEEP:
        kind = block_named(block)
        complete = kind.complete(options)
        for site in sites:
            reason = kind.applies(site, options)
            if reason:
                label = block_label(block, options)
                raise SpecError(f"{label} does not fit {site.name}: {reason}")
            insertions.append(Insertion(site.name, block, tuple(complete.items())))
    return Architecture(backbone, resolution, tuple(insertions), total_stride)
