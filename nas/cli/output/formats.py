"""Figures and networks in few characters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.study.front.point import Point

__all__ = ["format_clock", "format_gain", "format_numbers", "format_signed"]


def format_clock(seconds: float) -> str:
    """Write a duration as a clock shows it: ` 1:05`, `2:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:2}:{rest:02}"


def format_signed(value: float) -> str:
    """Write a difference of losses with its sign; `?` where it is not known."""
    return "?" if math.isnan(value) else f"{value:+.4f}"


def format_gain(point: Point, *, unit: bool = False) -> str:
    """Write a gain by full training with its 90 % interval: `+0.45 [+0.29, +0.61]` points.

    Of accuracy; of loss where accuracy is not known of.
    unit: say which it is.
    """
    counted_in = "points" if point.believed.in_points else "of loss"
    return f"{point.believed} {counted_in}" if unit else str(point.believed)


def format_numbers(numbers: Mapping[str, float]) -> str:
    """Write numbers behind their names: `loss 2.3, latency_ms 0.81`."""
    return ", ".join(f"{name} {value:.6g}" for name, value in numbers.items())
