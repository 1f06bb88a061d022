"""Numbers as people read them, alike in the terminal and on pages."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "describe_uncounted",
    "format_bytes",
    "format_count",
    "format_duration",
    "format_interval",
    "format_mean_percent",
    "format_milliseconds",
    "format_probability",
    "one_line",
]

_UNITS = ((1.0, "", 0), (1e3, "k", 0), (1e6, "M", 2), (1e9, "G", 2))
"""(size, letter, digits after the point), the smallest first."""


def format_count(number: float, *, space: str = "") -> str:
    """Return a count of parameters or multiply-adds with its unit: `412k`, `3.50M`.

    space: between number and unit.
    """
    # What is rounded to a thousand of a unit is written in the next.
    fitting = (unit for unit in _UNITS if not round(number / unit[0], unit[2]) >= 1000)
    size, letter, digits = next(fitting, _UNITS[-1])
    return f"{number / size:.{digits}f}" + (f"{space}{letter}" if letter else "")


def format_bytes(number: float) -> str:
    """Return a size on disk with its unit, in thousands: `85 MB`, `1.2 GB`."""
    if (megabytes := math.ceil(number / 1e6)) < 1000:
        return f"{megabytes} MB"
    gigabytes = f"{number / 1e9:.1f}"
    return f"{gigabytes} GB" if float(gigabytes) < 1000 else f"{number / 1e12:.1f} TB"


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit of which it has two: `90 s`, `12 min`, `2.5 h`."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            number = seconds / size
            digits = 1 if number < 10 else 0
            return f"{f'{number:.{digits}f}'.removesuffix('.0')} {unit}"
    return f"{seconds:.0f} s"


def one_line(text: str) -> str:
    """Return a text with spaces for line ends, and for all else that would act on a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def describe_uncounted(operators: Sequence[str]) -> str:
    """Say what a count of multiply-adds leaves out."""
    return f"Multiply-adds leave out what {', '.join(operators)} compute, which nobody counts."


def format_milliseconds(value: float) -> str:
    """Return a latency in ms without its unit: `1.234`, `12.34`."""
    return f"{value:.3f}" if value < 10 else f"{value:.2f}"


def format_mean_percent(mean: float, spread: float) -> str:
    """Return the mean of some shares and its spread in percent: `71.20 ± 0.31`.

    mean: 0 to 1; the text is empty where it is NaN.
    spread: 0 to 1; left out where it is NaN.
    """
    if math.isnan(mean):
        return ""
    return f"{mean * 100:.2f}" + ("" if math.isnan(spread) else f" ± {spread * 100:.2f}")


def format_interval(mean: float, low: float, high: float, digits: int = 2) -> str:
    """Return a signed value with its interval: `+0.45 [+0.29, +0.61]`.

    `0` where it is exactly that, and `?` where it is not known.
    """
    if math.isnan(mean):
        return "?"
    if mean == low == high == 0:
        return "0"
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def format_probability(value: float) -> str:
    """Return a probability in percent, never as certain: `93 %`, `> 99 %`; `?` for NaN."""
    if math.isnan(value):
        return "?"
    if value > 0.99:
        return "> 99 %"
    return "< 1 %" if value < 0.01 else f"{value * 100:.0f} %"
