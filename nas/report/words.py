"""Numbers and networks as a reader of the page sees them."""

from __future__ import annotations

import math
from collections import Counter

from nas.spec.architecture import Architecture

__all__ = [
    "count",
    "duration",
    "kinds",
    "mean_percent",
    "milliseconds",
    "number",
    "percent",
    "signed",
]

_MINUS = "\N{MINUS SIGN}"


def count(value: float) -> str:
    """412 k, 3.50 M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.{0 if letter == 'k' else 2}f} {letter}"
    return f"{value:.0f}"


def milliseconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.2f}"


def number(value: float, digits: int = 4) -> str:
    return "?" if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    return "?" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", _MINUS)


def percent(value: float, digits: int = 1) -> str:
    return "?" if math.isnan(value) else f"{value * 100:.{digits}f}"


def mean_percent(mean: float, spread: float) -> str:
    """`71.20 ± 0.31`; nothing where the mean is not known."""
    if math.isnan(mean):
        return ""
    return percent(mean, 2) + ("" if math.isnan(spread) else f" ± {percent(spread, 2)}")


def duration(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def kinds(architecture: Architecture, most: int = 4) -> str:
    """`5 cbam, 2 se`, and of many kinds the commonest: `5 cbam, 2 se, 2 eca, 3 others`."""
    found = Counter(item.block for item in architecture.blocks).most_common()
    if len(found) > most:
        found = [*found[: most - 1], ("others", sum(times for _, times in found[most - 1 :]))]
    return ", ".join(f"{times} {kind}" for kind, times in found) or "no block"
