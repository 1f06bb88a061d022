"""The Pareto front of a study, its references, and what its noise allows one to say."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.tables import write_csv, write_parquet
from nas.belief.posterior import draws
from nas.spec.objective import Objective
from nas.study.front.choice import rank_within_budget
from nas.study.front.filter import matching
from nas.study.front.findings import MARGIN, POINTS
from nas.study.front.gains import Gain, believed_gains
from nas.study.front.indicators import hypervolume, knee, thin
from nas.study.front.network_table import NetworkTable
from nas.study.front.pareto import non_dominated
from nas.study.front.point import BELIEVED, COLUMNS, Choice, Hypervolume, Point
from nas.study.trials import Trials

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Choice", "Front", "Hypervolume", "Limit", "Point"]

Limit = tuple[str, float]
_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FILTERS = (
    "loss", "loss_saved", "accuracy", "latency_ms", "params", "macs", "seeds", "blocks",
    # Not test figures: what is chosen by them has none left.
    "retrained_accuracy", "retrained_seeds",
)  # fmt: skip
_RIVALS = 3  # that are named beside a choice
_CASTS: Mapping[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool}
"""From what NumPy has to what a point has, by the type of its field."""


@dataclass(frozen=True, eq=False)
class Front:
    """The non-dominated architectures of a study, with the hand-placed references beside them.

    Iterating gives the members and all references, by latency; a reference that others
    dominate has `on_front` False. Only COMPLETE trials take part.

    measured: all networks, of which the front is one.
    objectives: what it is a front by, the first orders a choice.
    trust: sentences on how far the proxy behind the figures can be trusted.
    keep: (n,) which networks of `measured` the filters have left.
    epsilon: (m,) how much worse a member may be that stands for others; None: every member.
    margin, margin_points: how much loss, and how many points of accuracy by full training, count
        as no difference.
    """

    measured: NetworkTable
    objectives: tuple[Objective, ...]
    trust: tuple[str, ...]
    keep: NDArray[np.bool_] = field(repr=False)
    epsilon: NDArray[np.float64] | None = field(default=None, repr=False)
    margin: float = MARGIN
    margin_points: float = POINTS

    @classmethod
    def of(
        cls,
        trials: Trials,
        objectives: Sequence[Objective],
        *,
        latency_limit: float | None = None,
        least_seeds: int = 1,
        trust: Sequence[str] = (),
        kinds: Sequence[str] = (),
    ) -> Front:
        """Make the front of some trials.

        latency_limit: ms; what is slower is shown only as a reference.
        least_seeds: that members have, once some searched network has them.
        trust: sentences on how far the proxy behind the figures can be trusted.
        kinds: of blocks that the space knows.
        """
        measured = NetworkTable.of(trials, kinds)
        eligible = measured.columns["eligible"]
        if latency_limit is not None:
            eligible = eligible * (measured.columns["latency_ms"] <= latency_limit)
        # Among many networks with one seed there are always some that were lucky. Once the first
        # searched ones are confirmed, only confirmed ones are members.
        confirmed = measured.columns["seeds"] >= least_seeds
        if (confirmed & (measured.columns["reference"] == None)).any():  # noqa: E711
            eligible = eligible * confirmed
        measured = replace(measured, columns={**measured.columns, "eligible": eligible})
        return cls(measured, tuple(objectives), tuple(trust), np.ones(len(measured), dtype=bool))

    @classmethod
    def joined(cls, fronts: Mapping[str, Front]) -> Front:
        """Make one front over the networks of several.

        fronts: by the name that their points carry as `run`; all by the same objectives.
        """
        first = next(iter(fronts.values()))
        assert all(front.objectives == first.objectives for front in fronts.values())
        return cls(
            NetworkTable.joined({name: front.measured for name, front in fronts.items()}),
            first.objectives,
            tuple(dict.fromkeys(line for front in fronts.values() for line in front.trust)),
            np.concatenate([front.keep for front in fronts.values()]),
            margin=first.margin,
            margin_points=first.margin_points,
        )

    @property
    def seed_noise(self) -> float:
        """The standard deviation of one network's loss between seeds; NaN where it is unknown."""
        return self.measured.loss.alone

    @property
    def paired_noise(self) -> float:
        """What of `seed_noise` is left in differences between networks with the same seeds."""
        return self.measured.loss.paired

    @property
    def noise_freedom(self) -> int:
        """The degrees of freedom that the noise is known to (see `nas.belief.noise`)."""
        return self.measured.loss.freedom

    def where(self, expression: str | None = None, **limits: Limit) -> Front:
        """Return the front of those architectures alone that meet every limit.

        `front.where("latency_ms < 12 and sites('coord') <= 2")` (see `nas.study.front.filter`), or
        `front.where(latency_ms=("<", 12), accuracy=(">=", 0.7))`.
        Raises SpecError for what cannot be read or filtered by.
        """
        keep = self.keep.copy()
        if expression is not None:
            keep &= matching(expression, self.measured)
        for name, limit in limits.items():
            if name not in _FILTERS:
                raise SpecError(f"cannot filter on {name!r}; known: {', '.join(_FILTERS)}")
            compare, bound = _read_limit(name, limit)
            with np.errstate(invalid="ignore"):
                keep &= compare(self.measured.column(name), bound)
        return replace(self, keep=keep)

    def thinned(self, **epsilon: float) -> Front:
        """Return an epsilon-front: for each network it has one that is at most so much worse.

        `front.thinned(loss=0.005, latency_ms=0.1)`; objectives not named are exact. References
        stay shown. Raises SpecError.
        """
        allowed = self._by_objective(epsilon, "epsilon", least=0.0)
        worse = [allowed.get(objective.name, 0.0) for objective in self.objectives]
        return replace(self, epsilon=np.array(worse))

    @property
    def whole(self) -> Front:
        """The front with every member, where `thinned` has left some out."""
        return self if self.epsilon is None else replace(self, epsilon=None)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Members and references, by latency."""
        return tuple(self._make_points())

    @property
    def members(self) -> tuple[Point, ...]:
        """The non-dominated networks, by latency."""
        return tuple(point for point in self.points if point.on_front)

    @property
    def references(self) -> tuple[Point, ...]:
        """The hand-placed networks, by latency, dominated or not."""
        return tuple(point for point in self.points if point.reference)

    @cached_property
    def outside(self) -> tuple[Point, ...]:
        """The hand-placed networks that the space does not hold, and that no member dominates."""
        members = self._costs_of(self.members)
        left = [point for point in self.references if not point.on_front]
        eligible = self.measured.columns["eligible"]
        rows = dict(zip(self.points, self.point_rows.tolist(), strict=True)) if left else {}
        costs = self._costs_of(left)
        every = non_dominated(np.concatenate([members, costs]))[len(members) :]
        return tuple(
            point
            for point, best in zip(left, every, strict=True)
            if best and eligible[rows[point]] != 1
        )

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def cloud(self) -> Mapping[str, NDArray[Any]]:
        """Every architecture with complete trials, as columns, for pictures."""
        return _Cloud(self.measured, self.keep)

    def searched(self, row: int) -> Point:
        """Return the network of a row of `cloud`, as one that is not on the front."""
        return self._point(int(np.flatnonzero(self.keep)[row]), on_front=False)

    # What it says.

    @property
    def knee(self) -> Point | None:
        """The member from which any way along the front costs most; None where there is none."""
        members = self.members
        row = knee(self._costs_of(members)) if members else None
        return None if row is None else members[row]

    def hypervolume(self, **reference: float) -> Hypervolume:
        """Return what the front dominates below a reference.

        reference: objective -> value; objectives not named take the worst of the front and the
        hand-placed networks.
        Raises SpecError for an unknown objective, and when the front is empty.
        """
        bounds = self._by_objective(reference, "reference")
        costs = self._costs_of(self.points)
        if not len(costs):
            raise SpecError("the front is empty: it has no hypervolume")
        signs = np.array([item.sign for item in self.objectives])
        worst = [
            item.sign * bounds[item.name] if item.name in bounds else costs[:, number].max()
            for number, item in enumerate(self.objectives)
        ]
        bound = np.array(worst, dtype=np.float64)
        members = self._costs_of(self.members)
        names = [item.name for item in self.objectives]
        return Hypervolume(
            hypervolume(members, bound), dict(zip(names, (signs * bound).tolist(), strict=True))
        )

    def at(self, **budget: float) -> Choice:
        """Return the best network that keeps a budget, and how sure that is.

        budget: `front.at(latency_ms=8)`; latency in ms, parameters or multiply-adds. The choice is
        by the first objective that has none.
        Raises SpecError for a budget of anything else, and when no network keeps it.
        """
        columns = self.measured.columns
        placed = columns["reference"] != None  # noqa: E711
        # A hand-placed network that the space does not hold can be had all the same.
        kept = self.keep & ((columns["eligible"] == 1) | placed)
        ranking = rank_within_budget(
            columns, kept, self.objectives, budget, self._draw, rivals=self.keep
        )
        members = set(self.member_rows.tolist())
        points = [self._point(row, row in members) for row in ranking.rows[: _RIVALS + 1]]
        rivals = tuple(zip(points[1:], ranking.ahead[1 : _RIVALS + 1], strict=True))
        cheapest = None
        if ranking.cheapest is not None and ranking.cheapest.shown:
            row = ranking.rows[ranking.cheapest.row]
            cheapest = (self._point(row, row in members), ranking.cheapest.probability)
        return Choice(
            points[0], ranking.probability, rivals, ranking.count, cheapest, ranking.delta
        )

    def _draw(self, objective: Objective, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """(count, k) of what an objective of some networks may be, minimised."""
        measured = self.measured
        drawn = draws(measured.columns, measured.noises, [objective], rows)
        return None if drawn is None else drawn[:, :, 0]

    @cached_property
    def gains(self) -> tuple[Gain, ...]:
        """What each of `points` is believed to gain on the plain network."""
        return believed_gains(self.measured, self.point_rows, np.flatnonzero(self.keep))

    def _by_objective(
        self, values: Mapping[str, float], what: str, least: float = -math.inf
    ) -> dict[str, float]:
        names = [item.name for item in self.objectives]
        for name, value in values.items():
            if name not in names:
                raise SpecError(f"{what} of {name!r}; allowed: {', '.join(names)}")
            if not (math.isfinite(value) and value >= least):
                raise SpecError(f"{what} {name}={value}; allowed: a number, {least:g} or more")
        return {name: float(value) for name, value in values.items()}

    def _costs_of(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """(k, m), minimised."""
        rows = [
            [item.sign * getattr(point, item.name) for item in self.objectives] for point in points
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.objectives))

    # Points.

    @property
    def member_rows(self) -> NDArray[np.int64]:
        """(k,) numbers of the members among the rows of `measured`."""
        columns = self.measured.columns
        costs = np.column_stack([item.sign * columns[item.name] for item in self.objectives])
        kept = np.flatnonzero(self.keep & (columns["eligible"] == 1))
        if self.epsilon is None:
            return kept[non_dominated(costs[kept])]
        return kept[thin(costs[kept], self.epsilon)]

    @cached_property
    def point_rows(self) -> NDArray[np.int64]:
        """(k,) numbers of `points` among the rows of `measured`."""
        columns = self.measured.columns
        shown = self.keep & (columns["reference"] != None)  # noqa: E711
        shown[self.member_rows] = True
        rows = np.flatnonzero(shown)
        return rows[np.argsort(columns["latency_ms"][rows], kind="stable")]

    def _make_points(self) -> Iterator[Point]:
        members = set(self.member_rows.tolist())
        for row in self.point_rows.tolist():
            yield self._point(row, row in members)

    def _point(self, row: int, on_front: bool) -> Point:
        columns = self.measured.columns
        figures: dict[str, Any] = {
            item.name: _CASTS.get(str(item.type), lambda text: text)(columns[item.name][row])
            for item in fields(Point)
            if item.name in columns
        }
        accuracy, images = figures["accuracy"], float(columns["images"][row])
        return Point(
            architecture=self.measured.architecture(row),
            on_front=on_front,
            accuracy_noise=math.sqrt(max(accuracy * (1 - accuracy), 0.0) / max(images, 1.0)),
            **figures,
        )

    # As files.

    def to_json(self) -> str:
        return json.dumps(self._plain_rows(), indent=1)

    def _plain_rows(self) -> list[dict[str, Any]]:
        return [
            point.to_dict() | _known(gain)
            for point, gain in zip(self.points, self.gains, strict=True)
        ]

    def _rows(self) -> list[dict[str, Any]]:
        return [
            row | {"architecture": point.architecture.to_json()}
            for row, point in zip(self._plain_rows(), self.points, strict=True)
        ]

    def write_csv(self, path: str | Path) -> None:
        """One row per point, the architecture as canonical JSON. Raises StorageError."""
        write_csv(Path(path), list(COLUMNS), self._rows())

    def write_parquet(self, path: str | Path) -> None:
        """The rows of `write_csv`, typed. Raises StorageError."""
        write_parquet(Path(path), COLUMNS, self._rows())

    def to_pandas(self) -> pd.DataFrame:
        """The rows of `write_csv` as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=list(COLUMNS))


@dataclass(frozen=True, eq=False)
class _Cloud(Mapping[str, NDArray[Any]]):
    """Columns of the kept rows, cut out when they are asked for: of a million, few are."""

    measured: NetworkTable
    keep: NDArray[np.bool_]

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise KeyError(name)
        return self.measured.column(name)[self.keep]

    def __contains__(self, name: object) -> bool:
        return name == "blocks" or name in self.measured.columns

    def __iter__(self) -> Iterator[str]:
        return iter((*self.measured.columns, "blocks"))

    def __len__(self) -> int:
        return len(self.measured.columns) + 1


def _known(gain: Gain) -> dict[str, float | None]:
    """Return the columns of what is believed; what is not known is None."""
    values = (gain.gain, gain.low, gain.high, gain.p_better, gain.p_front)
    return {
        name: None if math.isnan(value) else value
        for name, value in zip(BELIEVED, values, strict=True)
    }


def _read_limit(name: str, limit: Limit) -> tuple[Callable[[Any, float], Any], float]:
    try:
        sign, bound = limit
        number = float(bound)
        if math.isnan(number):
            raise ValueError
        return _COMPARE[sign], number
    except (TypeError, ValueError, KeyError):
        raise SpecError(f"{name}: {limit!r}; write it as in {name}=('<', 8.0)") from None
