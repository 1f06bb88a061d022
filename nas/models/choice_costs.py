"""What each choice of a decision adds to the plain network: parameters, multiply-adds, blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nas.backbones import Site
from nas.blocks import block_named
from nas.models.cost import block_parameters, cost, cost_of_module
from nas.models.decisions import Decision
from nas.models.sharing import shared_key
from nas.spec.architecture import EMPTY, KEEP, Architecture, Insertion, parse_label
from nas.spec.task import Task

__all__ = ["COUNTED", "ChoiceCosts"]

Floats = NDArray[np.float64]

COUNTED = ("params", "macs", "blocks")
"""The columns of all that is counted here."""


class ChoiceCosts:
    """The costs of choices, counted once for all sites with such a map, or such maps.

    Blocks keep the shape of their map, so what several choices add is the sum of what each adds.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._blocks: dict[tuple[object, ...], Floats] = {}

    def plain(self, plain: Architecture) -> Floats:
        """Return what a network holds before anything is chosen, (3,). Raises SpecError."""
        whole = cost(plain, task=self._task)
        return np.array([whole.params, whole.macs, len(plain.blocks)], dtype=np.float64)

    def added(self, plain: Architecture, decision: Decision) -> Floats:
        """Return what each choice adds at all sites of a decision, (choices, 3)."""
        rows = np.zeros((len(decision.choices), len(COUNTED)))
        for number, label in enumerate(decision.choices):
            if label != KEEP:
                for site in decision.sites:
                    rows[number] += self._difference(plain, site, label)
        return rows

    @staticmethod
    def shared(decisions: Mapping[str, Decision], codes: Mapping[str, NDArray[np.int64]]) -> Floats:
        """Return the parameters that blocks of a stage have in common, (n,).

        So much less than the sum has a network whose space says `share: stage`.
        decisions, codes: by the same names; codes are numbers of choices, (n,) each.
        """
        holders: dict[tuple[object, ...], Floats] = {}
        weights: dict[tuple[object, ...], int] = {}
        for name, decision in decisions.items():
            for number, label in enumerate(decision.choices):
                if label in {KEEP, EMPTY}:
                    continue
                chosen = (codes[name] == number).astype(np.float64)
                for site in decision.sites:
                    key = shared_key(site, label)
                    holders[key] = holders.get(key, 0.0) + chosen
                    weights[key] = block_parameters(site, label)
        saved = np.zeros(len(next(iter(codes.values()))))
        for key, count in holders.items():
            saved += np.maximum(count - 1, 0) * weights[key]
        return saved

    def _difference(self, plain: Architecture, site: Site, label: str) -> Floats:
        """Return what a label puts into a site, without what it takes out, (3,)."""
        replaced = self._original(plain, site) if site.filled else np.zeros(len(COUNTED))
        if label == EMPTY:
            return -replaced
        return self._block(site, label) - replaced

    def _original(self, plain: Architecture, site: Site) -> Floats:
        """Return the cost (3,) of the block that a site comes with.

        It does not count among the inserted ones.
        """
        emptied = replace(plain, insertions=(Insertion(site.name, EMPTY),))
        before, after = (cost(item, task=self._task) for item in (plain, emptied))
        return np.array([before.params - after.params, before.macs - after.macs, 0.0])

    def _block(self, site: Site, label: str) -> Floats:
        maps = site.maps or ((site.height, site.width),)
        key = (site.channels, maps, label)
        if key not in self._blocks:
            name, options = parse_label(label)
            block = block_named(name)
            with torch.random.fork_rng(devices=[]):
                module = block.assemble(
                    site.channels, site.height, site.width, "paper", block.complete(options)
                )
            counted = [
                cost_of_module(module, torch.zeros(1, site.channels, *each)) for each in maps
            ]
            macs = sum(each.macs for each in counted)
            self._blocks[key] = np.array([counted[0].params, macs, 1.0])
        return self._blocks[key]
