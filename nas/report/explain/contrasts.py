"""What a block more does, read off the belief: networks with it against the same without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.belief.additive_terms import TermDesign
from nas.belief.belief import Gain
from nas.spec.architecture import Architecture, Insertion
from nas.study.network_belief import NetworkBelief

__all__ = ["Change", "Contrasts", "evenly", "every_label", "to_architectures"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

Change = tuple[int, int, int]
"""(number of a site, number of the label that stands there, number of the one put there)."""

_CONTEXTS = 6  # networks that a block is put into; more make it slow, and hardly differ


def evenly(codes: Codes, count: int) -> Codes:
    """Return at most so many of some networks (n, d), as far apart as they stand in their order."""
    rows = np.linspace(0, len(codes) - 1, count).astype(np.int64)
    return codes[np.unique(rows)]


@dataclass(frozen=True, eq=False)
class Contrasts:
    """The belief about some networks, each with every label that was seen at each site.

    codes: (n, 1 + s), networks by `terms`, of which some serve as contexts.
    like: a network of the same strides, and whose blocks share weights as theirs.
    """

    belief: NetworkBelief
    terms: TermDesign
    codes: Codes
    like: Architecture

    @cached_property
    def _contexts(self) -> Codes:
        return evenly(self.codes, _CONTEXTS)

    @cached_property
    def _networks(self) -> dict[tuple[int, ...], int]:
        """Codes of every network that differs from a context at one site -> its number."""
        networks: dict[tuple[int, ...], int] = {}
        for context in self._contexts:
            for site, labels in enumerate(self.terms.labels):
                for code in range(len(labels)):
                    networks.setdefault(_put(context, site, code), len(networks))
        return networks

    @cached_property
    def _joint(self) -> tuple[Floats, Floats]:
        codes = np.array(list(self._networks), dtype=np.int64)
        return self.belief.joint(self._architectures(codes))

    def _architectures(self, codes: Codes) -> list[Architecture]:
        return to_architectures(self.terms, codes, self.like)

    def gain(self, codes: Codes) -> Gain:
        """Return the loss that networks (k, 1 + s) save by full training."""
        return self.belief.gain(self._architectures(codes))

    def ahead(self, codes: Codes, rival: Architecture) -> tuple[float, float]:
        """Return mean and deviation of the loss that a network (1 + s,) saves beside a rival."""
        networks = [*self._architectures(codes[None]), rival]
        mean, covariance = self.belief.joint(networks)
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        return float(mean[0] - mean[1]), float(np.sqrt(max(variance, 0.0)))

    def saved(self, effects: Sequence[Sequence[Change]]) -> tuple[Floats, Floats]:
        """Return mean (e,) and covariance (e, e) of the loss that changes save.

        effects: of each, the changes that it is the mean of, over contexts, too.
        """
        weights = np.zeros((len(effects), len(self._networks)))
        for row, changes in enumerate(effects):
            share = 1 / max(1, len(changes) * len(self._contexts))
            for site, before, after in changes:
                for context in self._contexts:
                    weights[row, self._networks[_put(context, site, before)]] -= share
                    weights[row, self._networks[_put(context, site, after)]] += share
        mean, covariance = self._joint
        return weights @ mean, weights @ covariance @ weights.T


def to_architectures(terms: TermDesign, codes: Codes, like: Architecture) -> list[Architecture]:
    """Return the networks that some codes (n, 1 + s) stand for.

    like: a network of the same strides, and whose blocks share weights as theirs.
    """
    architectures = []
    for row in codes.tolist():
        backbone, resolution = terms.networks[row[0]]
        insertions = [
            Insertion.of(site.rpartition(":")[2], labels[code])
            for site, labels, code in zip(terms.sites, terms.labels, row[1:], strict=True)
            if code
        ]
        architectures.append(
            replace(like, backbone=backbone, resolution=resolution, insertions=tuple(insertions))
        )
    return architectures


def every_label(terms: TermDesign, context: Codes) -> Codes:
    """Return a network with each label at each site, one at a time, (n, 1 + s)."""
    rows = [
        _put(context, site, code)
        for site, labels in enumerate(terms.labels)
        for code in range(len(labels))
    ]
    return np.array(rows, dtype=np.int64)


def _put(context: Codes, site: int, code: int) -> tuple[int, ...]:
    row = context.tolist()
    row[1 + site] = code
    return tuple(row)
