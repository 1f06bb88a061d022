"""Sentences of the page about latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.report.remeasured_latency import RemeasuredLatency
from nas.study.front.point import Point

__all__ = ["describe_latency_source", "describe_remeasured_latency"]


def describe_latency_source(points: Sequence[Point], device: str) -> str:
    """Say where the latencies of a front come from.

    device: name of a runtime, or path of a device profile.
    """
    if points and all(point.latency_predicted for point in points):
        return f"predicted by the device profile {device} (~)"
    final = sum(point.latency_final for point in points)
    again = f", {final} of these {len(points)} once more on the idle machine" if final else ""
    return f"measured with {device}, one image{again}"


def describe_remeasured_latency(latency: RemeasuredLatency) -> str:
    """Say how far the final measurements are from what was known before."""
    count = len(latency.trial)
    if not count:
        return "No network has been measured on the idle machine yet."
    how = "predicted" if latency.predicted else "measured beside the trainings"
    off = np.abs(latency.off) * 100
    text = (
        f"{count} networks, {how}, then measured on the idle machine: they differ by "
        f"{np.median(off):.1f} % (median), at most {off.max():.1f} %"
    )
    if latency.predicted:
        text += f"; {latency.inside} lie inside the 90 % interval of their prediction"
    return f"{text}."
