"""The networks of a study as points of a space, made of the sites and labels that stand in them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.base.natural_order import natural_key
from nas.belief.grid import Grid
from nas.belief.points import PointSpace
from nas.belief.terms import Place, SharedTerms, stage_of
from nas.spec.architecture import KEEP, Architecture

__all__ = ["SeenSpace"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_NETWORK = "network"


@dataclass(frozen=True, eq=False)
class SeenSpace:
    """The networks of a study as points: of the sites and labels that stand in any of them.

    architectures: distinct, the plain network of each backbone among them or not.
    macs: (n,) of each.
    """

    architectures: tuple[Architecture, ...]
    macs: Floats

    @cached_property
    def _networks(self) -> tuple[str, ...]:
        """The backbones, that of most networks first: gains are against it as it comes."""
        counts = Counter(_network(item) for item in self.architectures)
        return tuple(sorted(counts, key=lambda name: (-counts[name], name)))

    @cached_property
    def _labels(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Backbone and site -> labels that were seen there, behind that of an idle site."""
        seen: dict[tuple[str, str], set[str]] = {}
        for architecture in self.architectures:
            for item in architecture.insertions:
                seen.setdefault((architecture.backbone, item.site), set()).add(item.label)
        keys = sorted(seen, key=lambda key: (key[0], natural_key(key[1])))
        return {key: (KEEP, *sorted(seen[key], key=natural_key)) for key in keys}

    @cached_property
    def grid(self) -> Grid:
        """The network as one parameter, then each site."""
        sites = {f"{backbone}:{site}": labels for (backbone, site), labels in self._labels.items()}
        return Grid({_NETWORK: self._networks, **sites})

    @cached_property
    def _columns(self) -> dict[tuple[str, str], int]:
        return {key: column for column, key in enumerate(self._labels, start=1)}

    def codes(self, architectures: Sequence[Architecture]) -> Codes:
        """Return codes (n, d). Raises KeyError, ValueError for a site or label never seen."""
        codes = np.zeros((len(architectures), 1 + len(self._labels)), dtype=np.int64)
        for row, item in enumerate(architectures):
            codes[row, 0] = self._networks.index(_network(item))
            for insertion in item.insertions:
                key = item.backbone, insertion.site
                codes[row, self._columns[key]] = self._labels[key].index(insertion.label)
        return codes

    def knows(self, architecture: Architecture) -> bool:
        """Return whether a network is of the backbones, sites and labels that were seen."""
        if _network(architecture) not in self._networks:
            return False
        return all(
            item.label in self._labels.get((architecture.backbone, item.site), ())
            for item in architecture.insertions
        )

    @property
    def sites(self) -> int:
        """The number of sites at which a block was seen."""
        return len(self._labels)

    @property
    def choices(self) -> float:
        """The number of networks that can be made of what was seen."""
        return len(self._networks) * math.prod(float(len(item)) for item in self._labels.values())

    def space(self) -> PointSpace:
        """Return the space of points; gains are against the first backbone as it comes."""
        keys = list(self._labels)
        places = [Place("", 0.0, 0)]
        for backbone, site in keys:
            own = [other for other, _ in keys if other == backbone]
            number = [other for of, other in keys if of == backbone].index(site)
            places.append(Place(stage_of(site) or _NETWORK, number / max(1, len(own) - 1), 1))
        terms = SharedTerms(self.grid, places)
        return PointSpace(
            self.grid,
            features=self._features,
            terms=terms,
            groups=terms.groups,
            load=terms.load,
            reference=np.zeros(1 + len(keys), dtype=np.int64),
        )

    def _features(self, codes: Codes) -> Floats:
        macs = np.maximum(self._macs_of(codes), 1.0)
        return ((np.log(macs) - self._centre) / self._spread)[:, None]

    @cached_property
    def _centre(self) -> float:
        return float(np.log(np.maximum(self.macs, 1.0)).mean())

    @cached_property
    def _spread(self) -> float:
        return max(float(np.log(np.maximum(self.macs, 1.0)).std()), 1e-3)

    def _macs_of(self, codes: Codes) -> Floats:
        """Return multiply-adds (n,): they add up over sites, so those seen tell every choice's."""
        return self.grid.one_hot(codes) @ self._added_macs

    @cached_property
    def _added_macs(self) -> Floats:
        rows = self.grid.one_hot(self.codes(self.architectures))
        return np.asarray(np.linalg.lstsq(rows, self.macs, rcond=None)[0])


def _network(architecture: Architecture) -> str:
    return f"{architecture.backbone} {architecture.resolution}"
