"""A network as a front shows it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nas.base.formats import (
    format_count,
    format_mean_percent,
    format_milliseconds,
    format_probability,
)
from nas.base.html import html_table
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.task import Figure
from nas.spec.width import describe_reference
from nas.study.front.believed_gain import UNKNOWN_GAIN, BelievedGain
from nas.study.front.network_table import NetworkTable
from nas.study.full_training import read_full_trainings

__all__ = ["COLUMNS", "Point", "Trainings"]

_CASTS: Mapping[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool}
"""From what NumPy has to what a point has, by the type of its field."""


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


class _Believed:
    """A figure of `Point.believed` that is read from the point, by the same name."""

    def __set_name__(self, owner: type[Point], name: str) -> None:
        self._name = name

    def __get__(self, point: Point, owner: type[Point]) -> float:
        figure: float = getattr(point.believed, self._name)
        return figure


@dataclass(frozen=True, slots=True)
class Point:
    """One architecture with all of its complete trials taken together.

    trial: number of its first trial.
    reference: name of a hand-placed network; None for one of the search.
    on_front: False for a reference that others dominate, or that the space's limits exclude.
    seeds: how many trials were taken together.
    loss: mean over seeds, corrected for seeds that are easier or harder than others.
    loss_noise: standard error of `loss` from the choice of seed; NaN when the study has no repeats
        to tell it from.
    image_noise: standard error of `loss_saved` from the choice of validation images; NaN where it
        is not known.
    loss_saved: loss of the plain reference minus `loss`; NaN without that reference.
    accuracy: share of validation images, mean over seeds, corrected like `loss`.
    accuracy_noise: binomial standard error, from the number of validation images; for accuracy
        alone, not for the figures of other tasks.
    latency_ms: of one inference.
    latency_spread: relative, between halves of a measurement or between several.
    latency_final: whether it was measured on the quiet machine at the end of the run, together with
        the rest of the front, and not beside trainings.
    latency_predicted: whether it is a prediction of a device profile.
    confirmed_loss: `loss` by the seeds after the first alone, which did not choose what is
        confirmed; NaN without such seeds. Comparisons are made by this.
    confirmed_seeds: how many these seeds are.
    run: the folder that it was found in, where several runs are looked at together.
    retrained_accuracy: on validation images after full training, mean over seeds; NaN without it.
    retrained_spread: its standard deviation between seeds.
    retrained_test_accuracy, retrained_test_spread: the same on test images.
    retrained_seeds: of full training.
    believed: what full training is believed to gain over the plain network; its figures are read
        from the point as well, as `point.gain`.
    regime: the question of its run: `scratch`, of networks that are trained from random weights, or
        `finetune`, of trained ones that are trained on.
    evidence: the trainings behind it.
    uncounted: operators whose multiply-adds `macs` leaves out, with spaces between; None: nothing.
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
    believed: BelievedGain = UNKNOWN_GAIN
    regime: str | None = None
    evidence: Trainings = Trainings()
    uncounted: str | None = None

    gain = _Believed()
    gain_low = _Believed()
    gain_high = _Believed()
    gain_loss = _Believed()
    gain_loss_low = _Believed()
    gain_loss_high = _Believed()
    p_better = _Believed()
    p_better_loss = _Believed()

    def _repr_html_(self) -> str:
        # Without the figure of its task, whose name its front alone knows.
        table = html_table([], list(self.format_figures(None).items()), self.title)
        return table + self.architecture._repr_html_()

    @property
    def name(self) -> str:
        """What it is called in sentences, with its run where several are looked at together."""
        name = self.reference or f"trial {self.trial}"
        return f"{name} of {self.run}" if self.run else name

    @property
    def title(self) -> str:
        """The name of the network in tables, with what a reference is."""
        if self.is_plain:
            return "plain backbone"
        if self.reference is None:
            return self.name
        return f"{self.name}, {describe_reference(self.reference)}"

    @property
    def is_plain(self) -> bool:
        """True of the plain network."""
        return self.reference == PLAIN

    def format_figures(self, figure: Figure | None) -> dict[str, str]:
        """Return what is known of it for a table: heading -> figure as it is read.

        figure: of its task; None: that is left out.
        """
        figures = {
            "latency, ms": "~" * self.latency_predicted + format_milliseconds(self.latency_ms)
        }
        if not math.isnan(self.gain_loss):
            unit = "points" if self.believed.in_points else "loss"
            figures[f"gain by full training, {unit}"] = str(self.believed)
            figures["better"] = "" if self.is_plain else format_probability(self.p_better)
        if not math.isnan(self.loss_saved):
            figures["loss saved"] = f"{self.loss_saved:+.4f}"
        if figure is not None:
            figures[f"{figure.title}, %"] = f"{self.accuracy * 100:.2f}"
        if figure is not None and self.retrained_seeds:
            figures[f"{figure.title} by full training, %"] = format_mean_percent(
                self.retrained_accuracy, self.retrained_spread
            )
        figures["parameters"] = format_count(self.params)
        return figures

    @classmethod
    def of(
        cls, measured: NetworkTable, row: int, *, on_front: bool, believed: BelievedGain
    ) -> Point:
        """Return a row of a table as a point."""
        columns = measured.columns
        figures: dict[str, Any] = {
            item.name: _CASTS.get(str(item.type), lambda text: text)(columns[item.name][row])
            for item in fields(cls)
            if item.name in columns
        }
        accuracy, images = figures["accuracy"], float(columns["images"][row])
        full = read_full_trainings(columns["retrained"][row])
        return cls(
            architecture=measured.architecture(row),
            on_front=on_front,
            accuracy_noise=math.sqrt(max(accuracy * (1 - accuracy), 0.0) / max(images, 1.0)),
            believed=believed,
            evidence=Trainings(figures["seeds"], sum(item.complete for item in full)),
            **figures,
        )

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

    def to_row(self) -> dict[str, Any]:
        """Return the values of `to_dict` as cells of a table: what is nested is canonical JSON."""
        values = self.to_dict()
        return values | {
            "architecture": self.architecture.to_json(),
            "evidence": json.dumps(values["evidence"]),
        }


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
    "uncounted": "string",
}
_LAST = ("regime", "evidence", "uncounted")
_ORDER = (
    *(name for name in Point.__slots__ if name not in ("believed", *_LAST)),
    "digest",
    *BelievedGain.__slots__,
    *_LAST,
)
COLUMNS = {name: _TYPES.get(name, "float64") for name in _ORDER}
"""Of a table of points: name -> Arrow's name of its type."""
