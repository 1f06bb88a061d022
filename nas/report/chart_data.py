"""The data of a report's charts: plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from nas.report.backbone_sites import BackboneKey, BackboneSites, find_backbone_sites
from nas.report.progress import trace_progress
from nas.report.remeasured_latency import compare_latencies
from nas.report.snapshot import Snapshot
from nas.runs.check_network import CLASSES
from nas.spec.architecture import Architecture
from nas.spec.drawing import PALETTE
from nas.study.budget_curves import half_of, kind_of
from nas.study.front.answer import best_point
from nas.study.front.front import Front
from nas.study.front.point import Point

__all__ = ["MOST_NETWORKS", "chart_heights", "collect_chart_data"]

MOST_NETWORKS = 5_000
"""The most networks that a page shows.

Beside the front and the hand-placed ones, they are taken evenly over the search. 10,000 circles
make a browser slow.
"""

_DIGITS = 6
_FIGURES = (
    "loss", "loss_saved", "accuracy", "latency_ms", "latency_spread", "params", "macs", "gain",
    "gain_low", "gain_high", "gain_loss", "gain_loss_low", "gain_loss_high", "p_better",
)  # fmt: skip
_FULL_TRAINING_FIGURES = (
    "retrained_accuracy", "retrained_spread", "retrained_test_accuracy", "retrained_test_spread",
    "retrained_seeds",
)  # fmt: skip


def chart_heights(front: Front) -> list[tuple[str, str]]:
    """Return what the front's chart may show upwards, and its title; the front's own first."""
    gains = [("gain_loss", "gain in loss"), ("gain", "gain in accuracy")]
    if any(item.name == "accuracy" for item in front.objectives):
        gains.reverse()
    known = {"gain_loss": front.has_gain_loss, "gain": front.has_gain}
    shown = [item for item in gains if known[item[0]]]
    shown += [("loss_saved", "loss saved, measured"), ("accuracy", "accuracy, measured")]
    return [(name, front.figure.worded(title)) for name, title in shown]


def collect_chart_data(snapshot: Snapshot) -> dict[str, Any]:
    """Return networks with their blocks over the backbones' sites, progress, latencies, trust.

    Numbers have six digits; what is not known is None.
    """
    points, best = _points(snapshot), best_point(snapshot.front)
    architectures = [point.architecture for point in points]
    run = snapshot.run
    backbones = find_backbone_sites(run.space, run.file.task_on(CLASSES), architectures)
    labels = sorted({item.label for network in architectures for item in network.insertions})
    label_numbers = {label: number for number, label in enumerate(labels)}
    backbone_numbers = {key: number for number, key in enumerate(backbones)}
    return {
        "run": str(snapshot.run.path),
        "stamp": snapshot.stamp,
        "state": snapshot.state,
        "answer": None if best is None else best.trial,
        "believed": snapshot.front.has_gain_loss,
        "figure": snapshot.front.figure.title,
        "objectives": [objective.name for objective in snapshot.front.objectives],
        "labels": labels,
        "palette": PALETTE,
        "backbones": [asdict(backbone) for backbone in backbones.values()],
        "networks": [
            {
                **_figures(point),
                "backbone": backbone_numbers[network.backbone, network.resolution],
                "blocks": _blocks(network, backbones, label_numbers),
            }
            for point, network in zip(points, architectures, strict=True)
        ],
        "every": len(snapshot.front.cloud["trial"]),
        "progress": _progress(snapshot),
        "latency": _latency(snapshot),
        "trust": _trust(snapshot),
        "curves": _curves(snapshot),
    }


def _points(snapshot: Snapshot) -> list[Point]:
    """Return front and references, then the other complete ones, each by latency."""
    front = snapshot.front
    shown = list(front.points)
    trials = {point.trial for point in shown}
    cloud = front.cloud
    rows = [row for row in range(len(cloud["trial"])) if int(cloud["trial"][row]) not in trials]
    room = max(0, MOST_NETWORKS - len(shown))
    if len(rows) > room:
        rows = [rows[int(place)] for place in np.linspace(0, len(rows) - 1, room)]
    rows.sort(key=lambda row: float(cloud["latency_ms"][row]))
    return [*shown, *front.searched(*rows)]


def _figures(point: Point) -> dict[str, Any]:
    figures = (*_FIGURES, *_FULL_TRAINING_FIGURES) if point.retrained_seeds else _FIGURES
    return {
        "trial": point.trial,
        "reference": point.reference,
        "front": point.on_front,
        "seeds": point.seeds,
        "final": point.latency_final,
        "predicted": point.latency_predicted,
        **{name: _number(getattr(point, name)) for name in figures},
    }


def _blocks(
    network: Architecture,
    backbones: Mapping[BackboneKey, BackboneSites],
    label_numbers: Mapping[str, int],
) -> list[list[int]]:
    """Return [number of the site, number of the label] of each insertion."""
    sites = backbones[network.backbone, network.resolution].sites
    site_numbers = {site.name: number for number, site in enumerate(sites)}
    return sorted(
        [site_numbers[item.site], label_numbers[item.label]] for item in network.insertions
    )


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    trials = snapshot.trials
    progress = trace_progress(trials, snapshot.front.objectives)
    firsts = trials["trial"][trials["repeat"] == 0]
    order = {int(trial): number for number, trial in enumerate(firsts, 1)}
    return {
        "trial": progress.trial.tolist(),
        "best": _numbers(progress.best),
        "volume": _numbers(progress.volume),
        "promises": [
            [order[promise.trial], _number(promise.gain), _number(promise.luck)]
            for promise in snapshot.promises
            if promise.trial in order
        ],
        "prospects": _prospects(snapshot, order),
    }


def _prospects(snapshot: Snapshot, order: Mapping[int, int]) -> dict[str, Any]:
    """Return rows of [number of the network, gain, low, high, regret] in one unit, and the unit."""
    prospects = [(order[trial], item) for trial, item in snapshot.prospects if trial in order]
    # Accuracy may be related to loss only later: all are then in the unit of the last.
    in_points = bool(prospects) and prospects[-1][1].in_points
    rows = [
        [number, *_numbers(item.shown())]
        for number, item in prospects
        if item.in_points == in_points
    ]
    return {"rows": rows, "unit": "points" if in_points else "loss"}


def _latency(snapshot: Snapshot) -> dict[str, Any]:
    latency = compare_latencies(snapshot.trials)
    return {
        "trial": latency.trial.tolist(),
        "predicted": latency.predicted,
        "before": _numbers(latency.before),
        "spread_before": _numbers(latency.spread_before),
        "after": _numbers(latency.after),
        "spread_after": _numbers(latency.spread_after),
    }


def _trust(snapshot: Snapshot) -> dict[str, Any] | None:
    calibration = snapshot.calibration
    if calibration is None:
        return None
    return {
        "bias": [
            {"name": name, "value": bias.value, "low": bias.low, "high": bias.high}
            for name, bias in calibration.searched.bias.items()
            if bias.value is not None
        ],
    }


def _curves(snapshot: Snapshot) -> dict[str, Any] | None:
    curves = snapshot.curves
    if curves is None:
        return None
    proxy = snapshot.run.file.proxy
    return {
        "budgets": _numbers(curves.budgets),
        "taken": _number(proxy.budgets[-1]) if proxy.unit == "epochs" else None,
        "advised": _number(curves.advice.epochs),
        "networks": [
            {
                "name": curve.network,
                "kind": kind_of(curve.network),
                "half": half_of(curve.network),
                "verdict": curve.verdict,
                "gains": [
                    {
                        "epochs": _number(point.epochs),
                        "gain": _number(point.gain),
                        "deviation": _number(point.deviation or 0.0),
                        "points": _number(point.points),
                    }
                    for point in curve.gains
                ],
            }
            for curve in curves.curves
        ],
    }


def _numbers(values: Iterable[float]) -> list[float | int | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | int | None:
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number == int(number) else float(f"{number:.{_DIGITS}g}")
