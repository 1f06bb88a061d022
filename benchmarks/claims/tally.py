"""Counts of claims: how often they were made, false, and as sure as they said."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import beta

__all__ = ["HEADINGS", "Tallies", "Tally", "rate_interval"]


def rate_interval(count: int, total: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate (Clopper and Pearson)."""
    if total == 0:
        return 0.0, 1.0
    low = float(beta.ppf(0.025, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, total - count)) if count < total else 1.0
    return low, high


@dataclass
class Tally:
    """What came of one kind of claim in one family of worlds.

    worlds: looked at. made, false: worlds with any claim, with any false one.
    possible, found: worlds in which a claim would be true, and those of them with a claim.
    held, of: intervals that held the truth, and all.
    stated, came: chances that were stated, and whether what they were of was so.
    figures: named values, whose mean is shown.
    """

    worlds: int = 0
    made: int = 0
    false: int = 0
    possible: int = 0
    found: int = 0
    held: int = 0
    of: int = 0
    stated: list[float] = field(default_factory=list)
    came: list[bool] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def claim(self, *, made: bool, false: bool, possible: bool) -> None:
        """Count one world; false: any of its claims is."""
        assert made or not false
        self.worlds += 1
        self.made += made
        self.false += false
        self.possible += possible
        self.found += possible and made and not false

    def interval(self, low: float, high: float, truth: float) -> None:
        """Count one interval; one without ends is none."""
        if not math.isnan(low):
            self.of += 1
            self.held += low <= truth <= high

    def chance(self, stated: float, came: bool) -> None:
        """Count one chance that was stated; NaN: none was."""
        if not math.isnan(stated):
            self.stated.append(stated)
            self.came.append(came)

    def add(self, other: Tally) -> None:
        """Take in another."""
        for name in ("worlds", "made", "false", "possible", "found", "held", "of"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.stated += other.stated
        self.came += other.came
        for name, values in other.figures.items():
            self.figures[name] += values

    @property
    def false_rate(self) -> float:
        return self.false / max(self.worlds, 1)

    @property
    def coverage(self) -> float:
        return self.held / self.of if self.of else math.nan

    @property
    def power(self) -> float:
        return self.found / self.possible if self.possible else math.nan

    def miscalibration(self, bins: int = 5) -> float:
        """Return the mean distance of stated chances from what came, over bins of equal size."""
        if not self.stated:
            return math.nan
        order = np.argsort(self.stated, kind="stable")
        stated, came = np.array(self.stated)[order], np.array(self.came, dtype=float)[order]
        parts = [part for part in np.array_split(np.arange(len(order)), bins) if len(part)]
        return float(
            sum(len(p) * abs(stated[p].mean() - came[p].mean()) for p in parts) / len(order)
        )

    def row(self) -> list[str]:
        """Return cells: worlds, claims, false with its interval, power, coverage, chances."""
        low, high = rate_interval(self.false, self.worlds)
        chances = "-"
        if self.stated:
            chances = (
                f"{np.mean(self.stated):.2f}/{np.mean(self.came):.2f} ({self.miscalibration():.3f})"
            )
        claims = self.worlds > 0
        return [
            str(self.worlds or self.of or len(self.stated)),
            f"{self.made / self.worlds:.3f}" if claims else "-",
            f"{self.false_rate:.3f} [{low:.3f}, {high:.3f}]" if claims else "-",
            f"{self.power:.2f}" if self.possible else "-",
            f"{self.coverage:.3f}" if self.of else "-",
            chances,
            _means(self.figures.items()),
        ]


def _means(figures: Iterable[tuple[str, list[float]]]) -> str:
    return ", ".join(f"{name} {np.nanmean(values):+.3f}" for name, values in figures if values)


HEADINGS = ["worlds", "claims", "false, 95 %", "power", "coverage", "said/came (off)", "also"]

Tallies = Mapping[str, Tally]
"""Name of a kind of claim -> what came of it in one family."""
