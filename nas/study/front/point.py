"""A network as a front shows it, and what is asked of a front besides."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from nas.spec.architecture import PLAIN, Architecture

__all__ = ["COLUMNS", "Choice", "Hypervolume", "Point", "RuledOut", "Trainings"]


@dataclass(frozen=True, slots=True)
class Trainings:
    """How often a network was trained.

    trainings: by the search, up to its top rung.
    full: by full training, of whichever recipe.
    """

    trainings: int = 0
    full: int = 0

    def __str__(self) -> str:
        return f"{self.trainings} short, {self.full} full"


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
    gain: what full training is believed to gain over the plain network, in accuracy as a share;
        0 for the plain network itself, NaN where there is no belief (of one network alone), or
        where accuracy was not measured.
    gain_low, gain_high: the ends of its 90 % interval.
    gain_loss, gain_loss_low, gain_loss_high: the same in loss that it saves.
    p_better: probability that it is better than the plain network by full training: in accuracy, or
        in loss where accuracy was not measured.
    p_better_loss: the same in loss, which tells more; where the two differ, it is not the loss that
        decides how often a network is right.
    regime: the question of its run: `scratch`, of networks that are trained from random weights, or
        `finetune`, of trained ones that are trained on.
    evidence: the trainings behind it.
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
    gain: float = math.nan
    gain_low: float = math.nan
    gain_high: float = math.nan
    gain_loss: float = math.nan
    gain_loss_low: float = math.nan
    gain_loss_high: float = math.nan
    p_better: float = math.nan
    p_better_loss: float = math.nan
    regime: str | None = None
    evidence: Trainings = Trainings()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: NaN becomes None."""
        values: dict[str, Any] = {name: getattr(self, name, None) for name in COLUMNS}
        values["digest"] = self.architecture.digest
        values["architecture"] = self.architecture.to_dict()
        values["evidence"] = asdict(self.evidence)
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
    delta: in the unit of `unit`.
    unit: `accuracy` (a share) or the name of the objective that is chosen by.
    ruled_out: how much there is to be gained by attention within the budget.
    """

    best: Point
    probability: float
    rivals: tuple[tuple[Point, float], ...]
    networks: int
    cheapest: tuple[Point, float] | None = None
    delta: float = math.nan
    unit: str = "loss"
    ruled_out: RuledOut | None = None

    @property
    def nowhere(self) -> bool:
        """True where the plain network is as good as the best, but for `delta`."""
        return self.cheapest is not None and self.cheapest[0].reference == PLAIN


@dataclass(frozen=True, slots=True)
class RuledOut:
    """The gain over the plain network that is ruled out, and of what.

    gain: that no network exceeds with a probability of .95, in `unit`.
    probability: that none gains more than `delta`.
    networks: number of evaluated networks that this holds for.
    sites: number of sites at which they had a block.
    """

    gain: float
    probability: float
    delta: float
    unit: str
    networks: int
    sites: int


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
    "regime": "string",
    "evidence": "string",
}
_ADDED = (
    "gain", "gain_low", "gain_high", "gain_loss", "gain_loss_low", "gain_loss_high", "p_better",
    "p_better_loss", "regime", "evidence",
)  # fmt: skip
_ORDER = (*(name for name in Point.__slots__ if name not in _ADDED), "digest", *_ADDED)
COLUMNS = {name: _TYPES.get(name, "float64") for name in _ORDER}
"""Of a table of points: name -> Arrow's name of its type."""
