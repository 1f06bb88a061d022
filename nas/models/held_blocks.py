"""The kinds of the trained blocks that a backbone comes with, told by what can start as them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.backbones import Site
from nas.blocks import BLOCKS, Block
from nas.models.build import build
from nas.models.task_network import holder_of
from nas.models.task_sites import task_sites_by_name
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = ["count_starts"]


def count_starts(emptied: Architecture, task: Task, weights: Mapping[str, Tensor]) -> Counter[str]:
    """Return name of a block -> in how many filled slots it starts as what is there.

    emptied: the plain network with every filled slot of a space emptied.
    task: what it is for.
    weights: of the trained plain network.
    """
    network = build(emptied.plain, task=task, weights=weights)
    names = tuple(insertion.site for insertion in emptied.insertions)
    sites = task_sites_by_name(emptied, task, names)
    return Counter(
        name
        for site in sites.values()
        for name, block in BLOCKS.items()
        if block.read and _starts_as(block, _held(network, site), site)
    )


def _held(network: nn.Module, site: Site) -> nn.Module:
    return holder_of(network, site.slot).get_submodule(site.slot.module)


def _starts_as(block: Block, held: nn.Module, site: Site) -> bool:
    """Say whether a block that is wide enough starts as a module of a network."""
    widest = {name: 1 for name in block.options if name == "reduction"}
    with torch.random.fork_rng(devices=[]):
        module = block.assemble(site.channels, site.height, site.width, "identity", widest)
    return block.take_over(module.eval(), held, site)
