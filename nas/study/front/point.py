"""A network as a front shows it, and what is asked of a front besides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nas.spec.architecture import Architecture

__all__ = ["BELIEVED", "COLUMNS", "Choice", "Hypervolume", "Point"]


@dataclass(frozen=True, slots=True)
class Point:
    """One architecture with all of its complete trials taken together.

    trial: number of its first trial.
    reference: name of a hand-placed network; None for one of the search.
    on_front: False for a reference that others dominate, or that the space's limits exclude.
    seeds: how many trials were taken together.
    loss: mean over seeds, corrected for easy and hard ones.
    loss_noise: standard error of `loss` from the choice of seed; NaN when the study has no repeats
        to tell it from.
    image_noise: standard error of `loss_saved` from the choice of validation images; NaN where it
        is not known.
    loss_saved: loss of the plain reference minus `loss`; NaN without that reference.
    accuracy: share of validation images, mean over seeds, corrected like `loss`.
    accuracy_noise: binomial standard error, from the number of validation images.
    latency_ms: of one inference.
    latency_spread: relative, between halves of a measurement or between several.
    latency_final: it was measured on the quiet machine at the end of the run, together with the
        rest of the front, not beside trainings.
    latency_predicted: it is a prediction of a device profile.
    confirmed_loss: `loss` by the seeds after the first alone, which had no say in what is
        confirmed; NaN without such. Comparisons are made by these.
    confirmed_seeds: how many these are.
    run: the folder it was found in, where several are looked at together.
    retrained_accuracy: on validation images after full training, mean over seeds; NaN without.
    retrained_spread: standard deviation of that between seeds.
    retrained_test_accuracy, retrained_test_spread: the same on test images.
    retrained_seeds: of full training.
    """

    trial: int
    architecture: Architecture
    reference: str | None
    on_front: bool
    seeds: int
    loss: float
    loss_noise: float
    image_noise: float
    loss_saved: float
    accuracy: float
    accuracy_noise: float
    latency_ms: float
    latency_spread: float
    latency_final: bool
    latency_predicted: bool
    params: int
    macs: int
    confirmed_loss: float = math.nan
    confirmed_seeds: int = 0
    run: str | None = None
    retrained_accuracy: float = math.nan
    retrained_spread: float = math.nan
    retrained_test_accuracy: float = math.nan
    retrained_test_spread: float = math.nan
    retrained_seeds: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: NaN becomes None."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        values["digest"] = self.architecture.digest
        values["architecture"] = self.architecture.to_dict()
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """value: in the objectives' units multiplied; reference: objective -> the bound that counts
    as worth nothing.
    """

    value: float
    reference: dict[str, float]


@dataclass(frozen=True, slots=True)
class Choice:
    """The best network within a budget, and how sure that is.

    probability: that it is the best of all within the budget, those with it that were trained
        too little to be shown; NaN where the noise of training is not known.
    rivals: the next best, each with the probability that the best one beats it.
    networks: how many keep the budget.
    cheapest: the cheapest of those that are worth no less than the best but for `delta`, and the
        probability of that; None where none is as probable as .8.
    delta: in the unit of the objective that is chosen by.
    """

    best: Point
    probability: float
    rivals: tuple[tuple[Point, float], ...]
    networks: int
    cheapest: tuple[Point, float] | None = None
    delta: float = math.nan


_TYPES = {
    "trial": "int64",
    "seeds": "int64",
    "params": "int64",
    "macs": "int64",
    "retrained_seeds": "int64",
    "on_front": "bool",
    "latency_final": "bool",
    "latency_predicted": "bool",
    "architecture": "string",
    "reference": "string",
    "digest": "string",
    "run": "string",
}
BELIEVED = ("gain", "gain_low", "gain_high", "p_better", "p_front")
"""Columns of what a network is believed to gain (`nas.study.front.gains`)."""

COLUMNS = {name: _TYPES.get(name, "float64") for name in (*Point.__slots__, "digest", *BELIEVED)}
"""Of a table of points: name -> Arrow's name of its type."""
