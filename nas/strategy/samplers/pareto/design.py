"""The networks that a search begins with: placement in halves, then a balanced design."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nas.belief.grid import Codes, Floats, Grid, describe
from nas.belief.terms import Place

__all__ = ["balanced_design"]

_DRAWN = 24  # candidates for each network of the design
_IDLE = ("none", "keep")


def balanced_design(
    grid: Grid,
    places: Mapping[str, Place],
    count: int,
    *,
    cost: Callable[[Codes], Floats] | None = None,
    settled: Callable[[Codes], Codes] | None = None,
    seed: int = 0,
) -> Codes:
    """Return networks (k, d), at most `count`, to learn most of a space from.

    First comes each kind of block in the early half alone and in the late half alone, so that
    placement is seen apart from kind. The others hold from one block to all, in turn, of kinds and
    at sites that have been used least together, and spread over what they cost.

    places: of each parameter; those without blocks choose the backbone.
    cost: codes (n, d) to (n,), such as latency; None: nothing is known of it.
    settled: as of `Knowledge`.
    seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    rows = [*_halves(grid, places)]
    used = _Use(grid, places)
    for row in rows:
        used.note(row)
    sites = [number for number, place in enumerate(places.values()) if place.blocks]
    total = max(1, count - len(rows))
    for number in range(total):
        # From one block to all of them, not in their order: what is cut short is spread, too.
        share = (number * 0.618034) % 1.0
        blocks = 1 + int(share * len(sites))
        drawn = np.array([used.draw(blocks, rng) for _ in range(_DRAWN)])
        drawn = drawn if settled is None else settled(drawn)
        rows.append(_best_spread(drawn, np.array(rows).reshape(-1, len(grid.sizes)), used, cost))
        used.note(rows[-1])
    return np.array(rows[:count], dtype=np.int64).reshape(-1, len(grid.sizes))


def _halves(grid: Grid, places: Mapping[str, Place]) -> list[Codes]:
    """Return each kind at the sites of the first half of the depth alone, and of the second."""
    rows = []
    for kind in _kinds(grid, places):
        for early in (True, False):
            row = np.zeros(len(grid.sizes), dtype=np.int64)
            for number, (name, place) in enumerate(places.items()):
                labels = [describe(choice)[0] for choice in grid.parameters[name]]
                if place.blocks and (place.depth < 0.5) == early and kind in labels:
                    row[number] = labels.index(kind)
            if row.any():
                rows.append(row)
    return rows


def _kinds(grid: Grid, places: Mapping[str, Place]) -> list[str]:
    kinds = [
        describe(choice)[0]
        for name, place in places.items()
        if place.blocks
        for choice in grid.parameters[name]
    ]
    return [kind for kind in dict.fromkeys(kinds) if kind not in _IDLE]


class _Use:
    """How often each choice has been used at each parameter, and each kind there."""

    def __init__(self, grid: Grid, places: Mapping[str, Place]) -> None:
        self._places = list(places.values())
        self._labels = [
            [describe(choice)[0] for choice in grid.parameters[name]] for name in places
        ]
        self._counts = [np.zeros(len(labels)) for labels in self._labels]

    def note(self, row: Codes) -> None:
        for counts, code in zip(self._counts, row, strict=True):
            counts[code] += 1

    def draw(self, blocks: int, rng: np.random.Generator) -> Codes:
        """Draw a network (d,) with so many blocks, of what was used least."""
        row = np.zeros(len(self._labels), dtype=np.int64)
        sites = [number for number, place in enumerate(self._places) if place.blocks]
        for number, place in enumerate(self._places):
            if not place.blocks:
                row[number] = rng.integers(len(self._labels[number]))
        chosen = rng.permutation(sites)[:blocks]
        for number in chosen:
            labels = self._labels[number]
            inserting = [code for code, kind in enumerate(labels) if kind not in _IDLE]
            if inserting:
                row[number] = min(
                    inserting, key=lambda code: (self._burden(number, code), rng.random())
                )
        return row

    def _burden(self, number: int, code: int) -> float:
        """Return how often a kind was used at a site, and less so this very choice."""
        labels = self._labels[number]
        of_kind = sum(
            count
            for count, kind in zip(self._counts[number], labels, strict=True)
            if kind == labels[code]
        )
        return float(of_kind + 0.1 * self._counts[number][code])

    def burden(self, row: Codes) -> float:
        """Return the mean over the blocks of a network."""
        burdens = [
            self._burden(number, int(code))
            for number, code in enumerate(row)
            if self._places[number].blocks and self._labels[number][code] not in _IDLE
        ]
        return float(np.mean(burdens)) if burdens else np.inf


def _best_spread(
    drawn: Codes, taken: Codes, used: _Use, cost: Callable[[Codes], Floats] | None
) -> Codes:
    """Return the row of `drawn` that is used least, and of those far from what was taken."""
    new = np.array([not (taken == row).all(axis=1).any() for row in drawn])
    drawn = drawn[new] if new.any() else drawn
    burdens = np.array([used.burden(row) for row in drawn])
    apart = np.zeros(len(drawn))
    if cost is not None and len(taken):
        logs, before = (
            np.log(np.maximum(cost(drawn), 1e-12)),
            np.log(np.maximum(cost(taken), 1e-12)),
        )
        gap = np.abs(logs[:, None] - before).min(axis=1)
        apart = gap / max(float(np.ptp(np.append(logs, before))), 1e-9)
    return np.asarray(drawn[int(np.argmin(burdens - 2.0 * apart))])
