"""The Pareto front of a study, its references, and what its noise allows one to say."""

from __future__ import annotations

import csv
import json
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.architecture import EMPTY, Architecture
from nas.errors import SpecError
from nas.files import write_whole
from nas.noise import SeedNoise, take_together
from nas.objective import Objective
from nas.pareto import non_dominated
from nas.trials import Trials

__all__ = ["PLAIN", "Front", "Limit", "Point"]

PLAIN = "plain"
"""The reference that every saving is counted from: the backbone as it comes."""

Limit = tuple[str, float]
_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FILTERS = ("loss", "loss_saved", "accuracy", "latency_ms", "params", "macs", "seeds", "blocks")


@dataclass(frozen=True, slots=True)
class Point:
    """One architecture with all of its complete trials taken together.

    loss, accuracy: means over `seeds` trials, corrected for easy and hard seeds.
    latency_ms: measured; latency_final: on the quiet machine at the end of the run, together
    with the rest of the front, not beside trainings. latency_predicted: by a device profile.
    loss_saved: loss of the plain reference minus `loss`; NaN without that reference.
    loss_noise: standard error of `loss` from the choice of seed; NaN when the study has
    no repeats to tell it from. accuracy_noise: binomial, from the number of validation images.
    image_noise: standard error of `loss_saved` from the choice of validation images; NaN where
    it is not known. latency_spread: relative, between halves of a measurement or between several.
    on_front: False for a reference that others dominate, or that the space's limits exclude.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: NaN becomes None."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        values["digest"] = self.architecture.digest
        values["architecture"] = self.architecture.to_dict()
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in values.items()
        }


class Front:
    """Non-dominated architectures, with the hand-placed references beside them.

    Iterating gives the members and all references, by latency; a reference that others
    dominate has `on_front` False. Only COMPLETE trials take part.

    seed_noise: standard deviation of one network's loss between seeds; paired_noise: what of
    it is left in differences between networks trained with the same seeds, known to
    `noise_freedom` degrees of freedom (see `nas.noise`). latency_limit: what is slower is shown
    only as a reference. least_seeds: that members have, once some searched network has them.
    trust: sentences on how far the proxy behind the figures can be trusted.
    """

    def __init__(
        self,
        trials: Trials,
        objectives: Sequence[Objective],
        *,
        latency_limit: float | None = None,
        least_seeds: int = 1,
        trust: Sequence[str] = (),
    ) -> None:
        self.objectives = tuple(objectives)
        self.trust = tuple(trust)
        self._columns, noise = _by_architecture(trials)
        if latency_limit is not None:
            self._columns["eligible"] = self._columns["eligible"] * (
                self._columns["latency_ms"] <= latency_limit
            )
        # Among many networks with one seed there are always some that were lucky. Once the first
        # searched ones are confirmed, only confirmed ones are members.
        confirmed = self._columns["seeds"] >= least_seeds
        if (confirmed & (self._columns["reference"] == None)).any():  # noqa: E711
            self._columns["eligible"] = self._columns["eligible"] * confirmed
        self.seed_noise, self.paired_noise = noise.alone, noise.paired
        self.noise_freedom = noise.freedom
        self._keep = np.ones(len(self._columns["trial"]), dtype=bool)
        self._points: tuple[Point, ...] | None = None

    def where(self, **limits: Limit) -> Front:
        """The front of those architectures alone that meet every limit.

        `front.where(latency_ms=("<", 12), accuracy=(">=", 0.7))`. Raises SpecError.
        """
        keep = self._keep.copy()
        for name, limit in limits.items():
            if name not in _FILTERS:
                raise SpecError(f"cannot filter on {name!r}; known: {', '.join(_FILTERS)}")
            compare, bound = _read_limit(name, limit)
            with np.errstate(invalid="ignore"):
                keep &= compare(self._columns[name], bound)
        narrowed = object.__new__(Front)
        narrowed.__dict__.update(self.__dict__, _keep=keep, _points=None)
        return narrowed

    @property
    def points(self) -> tuple[Point, ...]:
        """Members and references, by latency."""
        if self._points is None:
            self._points = tuple(self._make_points())
        return self._points

    @property
    def members(self) -> tuple[Point, ...]:
        """The non-dominated ones, by latency."""
        return tuple(point for point in self.points if point.on_front)

    @property
    def references(self) -> tuple[Point, ...]:
        """The hand-placed ones, by latency, dominated or not."""
        return tuple(point for point in self.points if point.reference)

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def cloud(self) -> dict[str, NDArray[Any]]:
        """Every architecture with complete trials, as columns, for pictures."""
        return {name: values[self._keep] for name, values in self._columns.items()}

    def _make_points(self) -> Iterator[Point]:
        columns = self._columns
        costs = np.column_stack([item.sign * columns[item.name] for item in self.objectives])
        kept = np.flatnonzero(self._keep & (columns["eligible"] == 1))
        on_front = np.zeros(len(self._keep), dtype=bool)
        on_front[kept] = non_dominated(costs[kept])
        references = np.array([name is not None for name in columns["reference"]], dtype=bool)
        shown = np.flatnonzero(on_front | (references & self._keep))
        for row in shown[np.argsort(columns["latency_ms"][shown], kind="stable")]:
            yield self._point(int(row), bool(on_front[row]))

    def _point(self, row: int, on_front: bool) -> Point:
        value = {name: values[row] for name, values in self._columns.items()}
        accuracy, images = float(value["accuracy"]), float(value["images"])
        noise = 0.0 if value["exact"] else self.seed_noise / math.sqrt(value["seeds"])
        return Point(
            trial=int(value["trial"]),
            architecture=Architecture.from_json(value["architecture"]),
            reference=value["reference"],
            on_front=on_front,
            seeds=int(value["seeds"]),
            loss=float(value["loss"]),
            loss_noise=noise,
            image_noise=float(value["image_noise"]),
            loss_saved=float(value["loss_saved"]),
            accuracy=accuracy,
            accuracy_noise=math.sqrt(max(accuracy * (1 - accuracy), 0.0) / max(images, 1.0)),
            latency_ms=float(value["latency_ms"]),
            latency_spread=float(value["latency_spread"]),
            latency_final=bool(value["latency_final"]),
            latency_predicted=bool(value["latency_predicted"]),
            params=int(value["params"]),
            macs=int(value["macs"]),
        )

    def to_json(self) -> str:
        return json.dumps([point.to_dict() for point in self], indent=1)

    def write_csv(self, path: Path) -> None:
        """One row per point, the architecture as canonical JSON."""
        with write_whole(path) as temporary, temporary.open("w", newline="") as file:
            rows = [point.to_dict() for point in self]
            writer = csv.writer(file)
            names = list(Point.__slots__) + ["digest"]
            writer.writerow(names)
            for point, row in zip(self, rows, strict=True):
                row["architecture"] = point.architecture.to_json()
                writer.writerow(["" if row[name] is None else row[name] for name in names])

    def write_parquet(self, path: Path) -> None:
        """The rows of `write_csv`, typed."""
        import pyarrow as pa
        from pyarrow import parquet

        rows = [point.to_dict() | {"architecture": point.architecture.to_json()} for point in self]
        schema = pa.schema(
            [(name, _ARROW.get(name, "float64")) for name in [*Point.__slots__, "digest"]]
        )
        with write_whole(path) as temporary:
            parquet.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)


_ARROW = {
    "trial": "int64",
    "seeds": "int64",
    "params": "int64",
    "macs": "int64",
    "on_front": "bool",
    "latency_final": "bool",
    "latency_predicted": "bool",
    "architecture": "string",
    "reference": "string",
    "digest": "string",
}


def _read_limit(name: str, limit: Limit) -> tuple[Callable[[Any, float], Any], float]:
    try:
        sign, bound = limit
        return _COMPARE[sign], float(bound)
    except (TypeError, ValueError, KeyError):
        raise SpecError(f"{name}: {limit!r}; write it as in {name}=('<', 8.0)") from None


def _by_architecture(trials: Trials) -> tuple[dict[str, NDArray[Any]], SeedNoise]:
    """Take the complete trials of each architecture together: its columns, and the noise of
    its loss.
    """
    known = np.isfinite(trials["loss"]) & np.isfinite(trials["accuracy"])
    rows = np.flatnonzero(trials.complete & known)
    _, first, group, seeds = np.unique(
        trials["digest"][rows].astype(str),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    columns: dict[str, NDArray[Any]] = {"seeds": seeds.astype(np.int64)}
    exact = np.zeros(len(seeds), dtype=bool)
    exact[group] = trials["trained"][rows] == 0
    seed = trials["seed"][rows]
    noise = take_together(trials["loss"][rows], group, seed, exact)
    columns["loss"] = noise.means
    columns["accuracy"] = take_together(
        trials["accuracy"][rows], group, trials["seed"][rows], exact
    ).means
    for name in ("trial", "architecture", "params", "macs", "images", "eligible"):
        columns[name] = trials[name][rows][first]
    columns["image_noise"] = np.bincount(group, weights=trials["loss_sem"][rows]) / seeds
    columns |= _latencies(trials, rows, group, len(seeds))
    columns["reference"] = np.full(len(seeds), None, dtype=object)
    named = [row for row, name in enumerate(trials["reference"][rows]) if name is not None]
    columns["reference"][group[named]] = trials["reference"][rows][named]
    columns["blocks"] = np.array([_count_blocks(text) for text in columns["architecture"]])
    columns["exact"] = noise.exact
    plain = np.flatnonzero(columns["reference"] == PLAIN)
    baseline = columns["loss"][plain[0]] if plain.size else math.nan
    columns["loss_saved"] = baseline - columns["loss"]
    return columns, noise


def _latencies(
    trials: Trials, rows: NDArray[Any], group: NDArray[Any], count: int
) -> dict[str, NDArray[Any]]:
    """The final measurement where there is one, else the mean of those beside the trainings."""
    measured = trials["latency_ms"][rows]
    means = np.bincount(group, weights=measured, minlength=count) / np.bincount(group)
    spread = np.zeros(count)
    apart = np.abs(measured - means[group]) / means[group]
    np.maximum.at(spread, group, np.fmax(trials["latency_spread"][rows], apart))
    final, final_spread = np.full(count, np.nan), np.full(count, np.nan)
    final[group] = trials["final_latency_ms"][rows]
    final_spread[group] = trials["final_latency_spread"][rows]
    known = ~np.isnan(final)
    predicted = np.zeros(count, dtype=bool)
    predicted[group] = trials["latency_predicted"][rows] != 0
    return {
        "latency_ms": np.where(known, final, means),
        "latency_spread": np.where(known, final_spread, spread),
        "latency_final": known,
        "latency_predicted": ~known & predicted,
    }


def _count_blocks(architecture: str) -> int:
    """Blocks in an architecture's canonical JSON, without parsing 100,000 of them."""
    return architecture.count('"block":') - architecture.count(f'"block":"{EMPTY}"')
