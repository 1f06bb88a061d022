"""What the charts of a report are drawn from: plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nas.report.latency import remeasured_latencies
from nas.report.places import BackboneSites, backbones_of
from nas.report.progress import course
from nas.report.snapshot import Snapshot
from nas.spec.architecture import Architecture
from nas.study.front.front import Point

__all__ = ["MOST_NETWORKS", "content"]

MOST_NETWORKS = 5_000
"""That a page shows: beside the front and the hand-placed ones, evenly over the search. 10,000
circles make a browser slow."""

_DIGITS = 6
_FIGURES = (
    "loss", "loss_noise", "image_noise", "loss_saved", "accuracy", "accuracy_noise", "latency_ms",
    "latency_spread", "params", "macs",
)  # fmt: skip
_RETRAINED = (
    "retrained_accuracy", "retrained_spread", "retrained_test_accuracy", "retrained_test_spread",
    "retrained_seeds",
)  # fmt: skip


def content(snapshot: Snapshot) -> dict[str, Any]:
    """Networks with their blocks over the backbones' sites, progress, latencies, trust.

    Numbers have six digits; what is not known is None.
    """
    points = _points(snapshot)
    architectures = [point["architecture"] for point in points]
    backbones = backbones_of(snapshot.run.space, architectures)
    labels = sorted({item.label for network in architectures for item in network.insertions})
    number = {label: index for index, label in enumerate(labels)}
    index = {key: place for place, key in enumerate(backbones)}
    objectives = snapshot.front.objectives
    return {
        "run": str(snapshot.run.path),
        "stamp": snapshot.stamp,
        "state": snapshot.state,
        "objectives": [item.name for item in objectives],
        "labels": labels,
        "backbones": [_backbone(item) for item in backbones.values()],
        "networks": [
            {
                **{name: value for name, value in point.items() if name != "architecture"},
                "backbone": index[network.backbone, network.resolution],
                "blocks": _placed(network, backbones, number),
            }
            for point, network in zip(points, architectures, strict=True)
        ],
        "every": len(snapshot.front.cloud["trial"]),
        "progress": _progress(snapshot),
        "latency": _latency(snapshot),
        "trust": _trust(snapshot),
    }


def _points(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Front and references, then the others that are complete; by latency within each."""
    front = snapshot.front
    shown = [_point(point) for point in front.points]
    known = {point["trial"] for point in shown}
    cloud = front.cloud
    rows = [row for row in range(len(cloud["trial"])) if int(cloud["trial"][row]) not in known]
    room = max(0, MOST_NETWORKS - len(shown))
    if len(rows) > room:
        rows = [rows[int(place)] for place in np.linspace(0, len(rows) - 1, room)]
    rows.sort(key=lambda row: float(cloud["latency_ms"][row]))
    return shown + [_point(front.searched(row)) for row in rows]


def _point(point: Point) -> dict[str, Any]:
    figures = (*_FIGURES, *_RETRAINED) if point.retrained_seeds else _FIGURES
    return {
        "trial": point.trial,
        "reference": point.reference,
        "front": point.on_front,
        "seeds": point.seeds,
        "final": point.latency_final,
        "predicted": point.latency_predicted,
        **{name: _number(getattr(point, name)) for name in figures},
        "architecture": point.architecture,
    }


def _backbone(item: BackboneSites) -> dict[str, Any]:
    return {
        "name": item.name,
        "resolution": item.resolution,
        "sites": [
            {
                "name": spot.name,
                "stage": spot.stage,
                "channels": spot.channels,
                "side": spot.side,
                "filled": spot.filled,
            }
            for spot in item.spots
        ],
    }


def _placed(
    network: Architecture, backbones: dict[tuple[str, int], BackboneSites], number: dict[str, int]
) -> list[list[int]]:
    """[number of the site, number of the label] of each insertion."""
    spots = backbones[network.backbone, network.resolution].spots
    place = {spot.name: index for index, spot in enumerate(spots)}
    return sorted([place[item.site], number[item.label]] for item in network.insertions)


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    found = course(snapshot.trials, snapshot.front.objectives)
    trials = snapshot.trials
    asked = {
        int(trial): place + 1 for place, trial in enumerate(trials["trial"][trials["repeat"] == 0])
    }
    return {
        "trial": found.trial.tolist(),
        "best": _numbers(found.best),
        "volume": _numbers(found.volume),
        "promises": [
            [asked[item.trial], _number(item.gain), _number(item.luck)]
            for item in snapshot.promises
            if item.trial in asked
        ],
    }


def _latency(snapshot: Snapshot) -> dict[str, Any]:
    found = remeasured_latencies(snapshot.trials)
    return {
        "trial": found.trial.tolist(),
        "predicted": found.predicted,
        "before": _numbers(found.before),
        "spread_before": _numbers(found.spread_before),
        "after": _numbers(found.after),
        "spread_after": _numbers(found.spread_after),
    }


def _trust(snapshot: Snapshot) -> dict[str, Any] | None:
    found = snapshot.calibration
    if found is None:
        return None
    bias = found.searched.bias
    return {
        "bias": [
            {"name": name, "value": item.value, "low": item.low, "high": item.high}
            for name, item in bias.items()
            if item.value is not None
        ],
    }


def _numbers(values: Iterable[float]) -> list[float | int | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | int | None:
    found = float(value)
    if not math.isfinite(found):
        return None
    return int(found) if found == int(found) else float(f"{found:.{_DIGITS}g}")
