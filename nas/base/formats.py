"""Numbers as people read them, alike in the terminal and on pages."""

from __future__ import annotations

import math

__all__ = ["format_count", "format_interval", "format_mean_percent", "format_milliseconds"]

_UNITS = ((1e9, "G", 2), (1e6, "M", 2), (1e3, "k", 0))
"""(size, letter, digits after the point), the largest first."""


def format_count(number: float, *, space: str = "") -> str:
    """Return a count of parameters or multiply-adds with its unit: `412k`, `3.50M`.

    space: between number and unit.
    """
    for size, letter, digits in _UNITS:
        if number >= size:
            return f"{number / size:.{digits}f}{space}{letter}"
    return f"{number:.0f}"


def format_milliseconds(value: float) -> str:
    """Return a latency in ms without its unit: `1.234`, `12.34`."""
    return f"{value:.3f}" if value < 10 else f"{value:.2f}"


def format_interval(low: float, high: float, *, digits: int = 4) -> str:
    """Return the ends of an interval with their signs: `-0.0012 .. +0.0034`; `?` where unknown."""
    if math.isnan(low):
        return "?"
    return f"{low:+.{digits}f} .. {high:+.{digits}f}"


def format_mean_percent(mean: float, spread: float) -> str:
    """Return the mean of some shares and its spread in percent: `71.20 ± 0.31`.

    mean: 0 to 1; the text is empty where it is NaN.
    spread: 0 to 1; left out where it is NaN.
    """
    if math.isnan(mean):
        return ""
    return f"{mean * 100:.2f}" + ("" if math.isnan(spread) else f" ± {spread * 100:.2f}")
