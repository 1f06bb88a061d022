"""Evaluations without a training, for tests of all that carries, keeps and reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nas.study.record import Evaluation, Outcome

__all__ = ["make_evaluation", "make_outcome"]

_PLAUSIBLE = Evaluation(
    loss=0.5,
    accuracy=0.8,
    latency_ms=2.0,
    latency_wall_ms=2.5,
    latency_spread=0.01,
    params=1000,
    macs=2000,
    images=10_000,
    seconds=3.0,
    train_seconds=2.0,
)


def make_evaluation(**figures: Any) -> Evaluation:
    """Return a plausible evaluation with some figures changed.

    A latency is taken for the clock on the wall's, too, unless that is given.
    """
    if "latency_ms" in figures:
        figures = {"latency_wall_ms": figures["latency_ms"]} | figures
    return replace(_PLAUSIBLE, **figures)


def make_outcome(**figures: Any) -> Outcome:
    """Return the outcome of a job that went well; figures: see `make_evaluation`."""
    return Outcome(make_evaluation(**figures))
