"""The filters of the page's templates: numbers and networks as a reader sees them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from nas.base.formats import (
    format_count,
    format_duration,
    format_mean_percent,
    format_milliseconds,
    format_probability,
)
from nas.spec.architecture import Architecture
from nas.study.front.point import Point

__all__ = ["FILTERS", "format_gain", "format_number", "format_signed"]

_MINUS = "\N{MINUS SIGN}"


def format_number(value: float, digits: int = 4) -> str:
    """Return a number with some digits after the point; `?` where it is NaN."""
    return "?" if math.isnan(value) else f"{value:.{digits}f}"


def format_signed(value: float, digits: int = 4) -> str:
    """Return a difference with its sign, a true minus; `?` where it is NaN."""
    return "?" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", _MINUS)


def format_gain(point: Point) -> str:
    """Return a gain by full training with its 90 % interval, in points of accuracy.

    In loss where accuracy is not known of.
    """
    return str(point.believed).replace("-", _MINUS)


def format_percent(value: float, digits: int = 1) -> str:
    """Return a share in percent, without the sign; `?` where it is NaN."""
    return "?" if math.isnan(value) else f"{value * 100:.{digits}f}"


def count_kinds(architecture: Architecture, most: int = 4) -> str:
    """Return the blocks of a network by kind, the commonest first: `5 cbam, 2 se`.

    most: of more kinds the rarest are taken together: `5 cbam, 2 se, 2 eca, 3 others`.
    """
    counts = Counter(item.block for item in architecture.blocks).most_common()
    if len(counts) > most:
        counts = [*counts[: most - 1], ("others", sum(times for _, times in counts[most - 1 :]))]
    return ", ".join(f"{times} {kind}" for kind, times in counts) or "no block"


FILTERS: Mapping[str, Callable[..., str]] = {
    "count": partial(format_count, space=" "),
    "duration": format_duration,
    "gain": format_gain,
    "kinds": count_kinds,
    "mean_percent": format_mean_percent,
    "milliseconds": format_milliseconds,
    "number": format_number,
    "percent": format_percent,
    "probability": format_probability,
    "short": lambda value: f"{value:g}",
    "signed": format_signed,
}
"""Names that templates use -> functions that render."""
