"""Networks as rows of terms that a linear model adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nas.base.natural_order import natural_key
from nas.base.size import Resolution
from nas.belief.terms import stage_of
from nas.spec.architecture import EMPTY, Architecture, parse_label

__all__ = ["IDLE", "INTERACTIONS", "TermDesign"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

IDLE = ""
"""Label of a site that is left as the backbone comes; its number is 0 at every site."""

INTERACTIONS = ("crowding", "stages")
"""What may be added to the sum: the number of pairs of blocks (many together save less than
each by itself), and of pairs for each two stages."""


@dataclass(frozen=True, eq=False)
class TermDesign:
    """The sites that stand in some networks, and the labels each was seen with.

    A network is a row of codes, (1 + s,): the number of its backbone and resolution, then that
    of the label at each site. Several terms speak of one block (its kind, its stage, its site):
    what is the same everywhere is learnt from all, and what differs from less.
    """

    networks: tuple[tuple[str, Resolution], ...]
    sites: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    interactions: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, architectures: Sequence[Architecture], interactions: tuple[str, ...] = ()
    ) -> TermDesign:
        """Return the design of all sites and labels that stand in some networks.

        interactions: some of `INTERACTIONS`.
        """
        named = {(item.backbone, item.size) for item in architectures}
        networks = [(backbone, size.written) for backbone, size in sorted(named)]
        several = len({backbone for backbone, _ in networks}) > 1
        seen: dict[str, set[str]] = {}
        for architecture in architectures:
            for item in architecture.insertions:
                seen.setdefault(_site(architecture, item.site, several), set()).add(item.label)
        sites = sorted(seen, key=natural_key)
        labels = tuple((IDLE, *sorted(seen[site], key=natural_key)) for site in sites)
        return cls(tuple(networks), tuple(sites), labels, interactions)

    def codes(self, architectures: Sequence[Architecture]) -> Codes:
        """Return the codes of networks, (n, 1 + s), which stand in this design."""
        several = len({backbone for backbone, _ in self.networks}) > 1
        number = {site: column + 1 for column, site in enumerate(self.sites)}
        codes = np.zeros((len(architectures), 1 + len(self.sites)), dtype=np.int64)
        for row, item in enumerate(architectures):
            codes[row, 0] = self.networks.index((item.backbone, item.resolution))
            for insertion in item.insertions:
                column = number[_site(item, insertion.site, several)]
                codes[row, column] = self.labels[column - 1].index(insertion.label)
        return codes

    def stage(self, site: str) -> str:
        """Return the stage of a site; the network where it has none."""
        return stage_of(site) or "network"

    @cached_property
    def stages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.stage(site) for site in self.sites))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        labels = {label for labels_there in self.labels for label in labels_there if label}
        return tuple(sorted({parse_label(label)[0] for label in labels}))

    @cached_property
    def ratios(self) -> dict[str, dict[str, float]]:
        """Kind and option, `coord reduction` -> label -> place on its scale, -0.5 to 0.5."""
        values: dict[str, dict[str, float]] = {}
        every = {label for labels_there in self.labels for label in labels_there if label}
        for label in sorted(
            every, key=natural_key
        ):  # the order of a set is another in each process
            kind, options = parse_label(label)
            for name, value in options.items():
                if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                    values.setdefault(f"{kind} {name}", {})[label] = float(np.log2(value))
        scaled = {}
        for name, numbers in sorted(values.items()):
            low, high = min(numbers.values()), max(numbers.values())
            if high > low:
                middle = (high + low) / 2
                scaled[name] = {k: (v - middle) / (high - low) for k, v in numbers.items()}
        return scaled

    @cached_property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(d,) group and name of each term."""
        names = [("network", f"{backbone} {size}") for backbone, size in self.networks[1:]]
        names += [("kind", kind) for kind in self.kinds]
        names += [("site", site) for site in self.sites]
        names += [("stage", stage) for stage in self.stages]
        names += [("ratio", name) for name in self.ratios]
        names += [("stage and kind", f"{s}|{kind}") for s in self.stages for kind in self.kinds]
        names += [("site and kind", f"{site}|{kind}") for site in self.sites for kind in self.kinds]
        if "crowding" in self.interactions:
            names.append(("crowding", "pairs of blocks"))
        if "stages" in self.interactions:
            names += [("stages", f"{a}|{b}") for a, b in combinations(self.stages, 2)]
        return tuple(names)

    @cached_property
    def groups(self) -> Codes:
        """(d,) number of each term's group, among those that there are."""
        order = list(dict.fromkeys(group for group, _ in self.names))
        return np.array([order.index(group) for group, _ in self.names], dtype=np.int64)

    @cached_property
    def _tables(self) -> list[Floats]:
        """For each site, (labels, d) of what a label adds to the terms that are sums."""
        column = {name: number for number, name in enumerate(self.names)}
        tables = []
        for site, labels in zip(self.sites, self.labels, strict=True):
            stage = self.stage(site)
            table = np.zeros((len(labels), len(self.names)))
            for row, label in enumerate(labels):
                if label == IDLE:
                    continue
                kind = parse_label(label)[0]
                table[row, column["kind", kind]] = 1
                table[row, column["stage and kind", f"{stage}|{kind}"]] = 1
                table[row, column["site and kind", f"{site}|{kind}"]] = 1
                if kind != EMPTY:
                    table[row, column["site", site]] = 1
                    table[row, column["stage", stage]] = 1
                for name, places in self.ratios.items():
                    if label in places:
                        table[row, column["ratio", name]] = places[label]
            tables.append(table)
        return tables

    def rows(self, codes: Codes) -> Floats:
        """Return the terms of networks, (n, d).

        codes: (n, 1 + s).
        """
        rows = np.zeros((len(codes), len(self.names)))
        for number in range(1, len(self.networks)):
            rows[:, number - 1] = codes[:, 0] == number
        for site, table in enumerate(self._tables):
            rows += table[codes[:, 1 + site]]
        stages = rows[
            :, [number for number, (group, _) in enumerate(self.names) if group == "stage"]
        ]
        for number, (group, _) in enumerate(self.names):
            if group == "crowding":
                blocks = stages.sum(axis=1)
                rows[:, number] = blocks * (blocks - 1) / 2
        pairs = [number for number, (group, _) in enumerate(self.names) if group == "stages"]
        for number, (a, b) in zip(pairs, combinations(range(len(self.stages)), 2), strict=False):
            rows[:, number] = stages[:, a] * stages[:, b]
        return rows

    def blocks(self, codes: Codes) -> Codes:
        """Count the blocks that were inserted, (n,)."""
        totals = np.zeros(len(codes), dtype=np.int64)
        for site, labels in enumerate(self.labels):
            counts = np.array([label not in (IDLE, EMPTY) for label in labels])
            totals += counts[codes[:, 1 + site]]
        return totals


def _site(architecture: Architecture, site: str, several: bool) -> str:
    return f"{architecture.backbone}:{site}" if several else site
