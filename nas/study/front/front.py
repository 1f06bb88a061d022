"""The Pareto front of a study, its references, and what its noise allows one to say."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.tables import write_csv, write_parquet
from nas.belief.claims import Budgeted, cheapest_within, nowhere, probability_on_front
from nas.belief.posterior import draws
from nas.spec.architecture import PLAIN
from nas.spec.objective import Objective
from nas.spec.width import is_widened
from nas.study.front.believed import MEASURED, Believed
from nas.study.front.choice import rank_within_budget
from nas.study.front.filter import matching
from nas.study.front.findings import MARGIN, POINTS
from nas.study.front.gains import Gain, believed_gains, draw_gains
from nas.study.front.indicators import hypervolume, knee, thin
from nas.study.front.network_table import NetworkTable
from nas.study.front.pareto import non_dominated
from nas.study.front.point import COLUMNS, Choice, Hypervolume, Point, RuledOut, Trainings
from nas.study.full_training import read_full_trainings
from nas.study.network_belief import NetworkBelief
from nas.study.trials import Trials

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DELTA", "Choice", "Front", "Hypervolume", "Limit", "Point"]

Limit = tuple[str, float]
DELTA = 0.005
"""How much less accuracy, as a share, is as good where a budget asks for the cheapest network."""

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
_BESIDE = 300  # networks that may be better than those shown, at most
_MOST_BELIEVED, _STRATA = 4000, 50  # networks; a belief about many more takes seconds
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
    believed: what the networks are believed to gain by full training; the front is then by that,
        not by what short trainings came to. Empty: it is by the measured figures.
    """

    measured: NetworkTable
    objectives: tuple[Objective, ...]
    trust: tuple[str, ...]
    keep: NDArray[np.bool_] = field(repr=False)
    epsilon: NDArray[np.float64] | None = field(default=None, repr=False)
    margin: float = MARGIN
    margin_points: float = POINTS
    believed: Believed = field(default=Believed({}), repr=False)

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
        belief: NetworkBelief | None = None,
        regime: str | None = None,
    ) -> Front:
        """Make the front of some trials.

        latency_limit: ms; what is slower is shown only as a reference.
        least_seeds: that members have, once some searched network has them.
        trust: sentences on how far the proxy behind the figures can be trusted.
        kinds: of blocks that the space knows.
        belief: about the networks of the trials.
        regime: that the trials are evidence of.
        """
        measured = NetworkTable.of(trials, kinds, regime)
        eligible = measured.columns["eligible"]
        if latency_limit is not None:
            eligible = eligible * (measured.columns["latency_ms"] <= latency_limit)
        # Among many networks with one seed there are always some that were lucky. Once the first
        # searched ones are confirmed, only confirmed ones are members.
        confirmed = measured.columns["seeds"] >= least_seeds
        if (confirmed & (measured.columns["reference"] == None)).any():  # noqa: E711
            eligible = eligible * confirmed
        measured = replace(measured, columns={**measured.columns, "eligible": eligible})
        return cls(
            measured,
            tuple(objectives),
            tuple(trust),
            np.ones(len(measured), dtype=bool),
            believed=Believed({} if belief is None else {None: belief}),
        )

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
            believed=Believed(
                {
                    name: belief
                    for name, front in fronts.items()
                    for belief in front.believed.by_run.values()
                }
            ),
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
        return self._points_of(self.point_rows)

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
        names = self.measured.columns["reference"]
        placed = [name is not None and not is_widened(name) for name in names.tolist()]
        left = (self.measured.columns["eligible"] != 1) & np.array(placed, dtype=np.bool_)
        members = self.member_rows
        left = self.point_rows[left[self.point_rows]]
        costs = self._costs[np.concatenate([members, left])]
        best = set(left[non_dominated(costs)[len(members) :]].tolist())
        return tuple(
            point
            for point, row in zip(self.points, self.point_rows.tolist(), strict=True)
            if row in best
        )

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def cloud(self) -> Mapping[str, NDArray[Any]]:
        """Every architecture with complete trials, as columns, for pictures."""
        return _Cloud(self.measured, self.keep)

    def searched(self, *rows: int) -> tuple[Point, ...]:
        """Return the networks of rows of `cloud`."""
        return self._points_of(np.flatnonzero(self.keep)[list(rows)])

    # What it says.

    @property
    def knee(self) -> Point | None:
        """The member from which any way along the front costs most; None where there is none."""
        rows = self._by_latency(self.member_rows)
        row = knee(self._costs[rows]) if rows.size else None
        return None if row is None else self.members[row]

    def hypervolume(self, **reference: float) -> Hypervolume:
        """Return what the front dominates below a reference.

        reference: objective -> value; objectives not named take the worst of the front and the
        hand-placed networks.
        Raises SpecError for an unknown objective, and when the front is empty.
        """
        bounds = self._by_objective(reference, "reference")
        costs = self._costs[self.point_rows]
        if not len(costs):
            raise SpecError("the front is empty: it has no hypervolume")
        signs = np.array([item.sign for item in self.objectives])
        worst = [
            item.sign * bounds[item.name] if item.name in bounds else np.nanmax(costs[:, number])
            for number, item in enumerate(self.objectives)
        ]
        bound = np.array(worst, dtype=np.float64)
        members = self._costs[self.member_rows]
        names = [item.name for item in self.objectives]
        return Hypervolume(
            hypervolume(members, bound), dict(zip(names, (signs * bound).tolist(), strict=True))
        )

    def at(self, *, within: float | None = None, **budget: float) -> Choice:
        """Return the best network that keeps a budget, and how sure that is.

        budget: `front.at(latency_ms=8)`; latency in ms, parameters or multiply-adds. The choice is
        by the first objective that has none.
        within: how many points of accuracy by full training count as no difference, for the
        cheapest that is as good as the best; None: half a point.
        Raises SpecError for a budget of anything else, and when no network keeps it.
        """
        if within is not None and not (math.isfinite(within) and within >= 0):
            raise SpecError(f"within {within:g}; allowed: points of accuracy, 0 or more")
        columns = self.measured.columns
        placed = columns["reference"] != None  # noqa: E711
        # A hand-placed network that the space does not hold can be had all the same.
        kept = self.keep & ((columns["eligible"] == 1) | placed)
        ranking = rank_within_budget(
            columns, kept, self.objectives, budget, self.draw, rivals=self.keep
        )
        rows = np.array(ranking.rows, dtype=np.int64)
        best, *others = self._points_of(rows[: _RIVALS + 1])
        choice = Choice(
            best,
            ranking.probability,
            tuple(zip(others, ranking.ahead[1 : _RIVALS + 1], strict=True)),
            ranking.count,
            delta=ranking.delta,
        )
        gains = self.believed.gains(self.measured, rows, "accuracy")
        if gains is not None:
            delta = DELTA if within is None else within / 100
            price = np.asarray(columns[next(iter(budget))][rows], dtype=np.float64)
            choice = replace(choice, delta=delta, unit="accuracy")
            return self._with_cheapest(choice, rows, cheapest_within(gains, price, delta), gains)
        if within is not None:
            raise SpecError(
                f"within {within:g} points: nothing is known of accuracy by full training"
            )
        if ranking.cheapest is None or not ranking.cheapest.shown:
            return choice
        (point,) = self._points_of(rows[[ranking.cheapest.row]])
        return replace(choice, cheapest=(point, ranking.cheapest.probability))

    def _with_cheapest(
        self,
        choice: Choice,
        rows: NDArray[np.int64],
        found: Budgeted,
        gains: NDArray[np.float64],
    ) -> Choice:
        """Say which is the cheapest of some networks, and what attention gains there at most.

        gains: (count, k) draws of what they gain in accuracy.
        """
        (point,) = self._points_of(rows[[found.row]])
        measured = self.measured
        # What is ruled out is a gain by attention, which a wider network has none of.
        others = np.array(
            [
                place
                for place, name in enumerate(measured.columns["reference"][rows].tolist())
                if name != PLAIN and not is_widened(name)
            ],
            dtype=np.int64,
        )
        ruled_out = None
        if others.size:
            told = nowhere(gains[:, others], choice.delta)
            architectures = measured.architectures_of(rows[others])
            sites = {
                item.site for architecture in architectures for item in architecture.insertions
            }
            ruled_out = RuledOut(
                told.gain, told.probability, told.delta, "accuracy", len(others), len(sites)
            )
        return replace(
            choice,
            cheapest=(point, found.probability) if found.shown else None,
            ruled_out=ruled_out,
        )

    def draw(
        self,
        objective: Objective,
        rows: NDArray[np.int64],
        count: int = 4000,
        seed: int = 0,
    ) -> NDArray[np.float64] | None:
        """Draw what an objective of some networks may be, (count, k), jointly and minimised.

        By full training where there is a belief, else by as many trainings as one likes of the kind
        that there was. None where the noise of training is not known.
        """
        measured = self.measured
        believed = self.believed.draws(measured, rows, objective, count, seed)
        if believed is not None:
            return believed
        drawn = draws(measured.columns, measured.noises, [objective], rows, count=count, seed=seed)
        return None if drawn is None else drawn[:, :, 0]

    def draw_costs(
        self, rows: NDArray[np.int64], *, count: int = 4000, seed: int = 0
    ) -> NDArray[np.float64] | None:
        """Draw what all objectives of some networks may be, (count, k, m); see `draw`."""
        drawn = [
            self.draw(objective, rows, count, 100 * seed + number)
            for number, objective in enumerate(self.objectives)
        ]
        known = [values for values in drawn if values is not None]
        return np.stack(known, axis=2) if len(known) == len(drawn) else None

    def draw_gains(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Draw what networks may gain in loss on the plain one, (count, k), jointly.

        Likewise.
        """
        believed = self.believed.gains(self.measured, rows)
        return draw_gains(self.measured, rows) if believed is None else believed

    @cached_property
    def gains(self) -> tuple[Gain, ...]:
        """What each of `points` is believed to save in loss against the plain network.

        Likewise; the points themselves have it of full training alone.
        """
        rows, beside = self.point_rows, np.flatnonzero(self.keep)
        if not self.believed.by_run:
            return believed_gains(self.measured, rows, beside)
        return tuple(
            Gain(
                point.gain_loss,
                point.gain_loss_low,
                point.gain_loss_high,
                math.nan if point.reference == PLAIN else point.p_better_loss,
                chance,
            )
            for point, chance in zip(self.points, self._chances_on_front(rows), strict=True)
        )

    def _chances_on_front(self, rows: NDArray[np.int64]) -> list[float]:
        """Return the probability of each of some rows that no network is better and as fast."""
        others = np.setdiff1d(np.flatnonzero(self.keep), rows)
        losses = self.measured.columns["loss"][others]
        every = np.concatenate([rows, others[np.argsort(losses, kind="stable")[:_BESIDE]]])
        drawn = self.draw_gains(every)
        if drawn is None:
            return [math.nan] * len(rows)
        latencies = np.asarray(self.measured.columns["latency_ms"])[every]
        return [float(chance) for chance in probability_on_front(drawn, latencies)[: len(rows)]]

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

    @cached_property
    def _costs(self) -> NDArray[np.float64]:
        """(n, m), minimised, by which it is a front.

        Of very many networks, those alone are believed in that may be on the front by it; the
        others have NaN.
        """
        columns = self.measured.columns
        costs = np.column_stack([item.sign * columns[item.name] for item in self.objectives])
        costs = costs.astype(np.float64)
        if not self.believed.by_run:
            return costs
        rows = self._hopeful(costs)
        for number, item in enumerate(self.objectives):
            if item.name in MEASURED:
                expected = self.believed.expected(self.measured, rows, item.name)
                costs[:, number] = np.nan
                costs[rows, number] = item.sign * expected
        return costs

    def _hopeful(self, costs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the references, and the networks with the best figures among those as fast."""
        shown = self.keep & (self.measured.columns["reference"] != None)  # noqa: E711
        rows = np.flatnonzero(self.keep & (self.measured.columns["eligible"] == 1))
        if len(rows) > _MOST_BELIEVED:
            shown[rows[non_dominated(costs[rows])]] = True
            rows = rows[np.argsort(self.measured.columns["latency_ms"][rows], kind="stable")]
            quality = [
                number for number, item in enumerate(self.objectives) if item.name in MEASURED
            ]
            for part in np.array_split(rows, _STRATA):
                for number in quality:
                    order = np.argsort(costs[part, number], kind="stable")
                    shown[part[order[: _MOST_BELIEVED // _STRATA]]] = True
        else:
            shown[rows] = True
        return np.flatnonzero(shown)

    # Points.

    @cached_property
    def member_rows(self) -> NDArray[np.int64]:
        """(k,) numbers of the members among the rows of `measured`."""
        kept = np.flatnonzero(self.keep & (self.measured.columns["eligible"] == 1))
        if self.epsilon is None:
            return kept[non_dominated(self._costs[kept])]
        return kept[thin(self._costs[kept], self.epsilon)]

    @cached_property
    def point_rows(self) -> NDArray[np.int64]:
        """(k,) numbers of `points` among the rows of `measured`."""
        shown = self.keep & (self.measured.columns["reference"] != None)  # noqa: E711
        shown[self.member_rows] = True
        return self._by_latency(np.flatnonzero(shown))

    def _by_latency(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[np.argsort(self.measured.columns["latency_ms"][rows], kind="stable")]

    def _points_of(self, rows: NDArray[np.int64]) -> tuple[Point, ...]:
        """Return the points of rows, in their order."""
        members = set(self.member_rows.tolist())
        gains = self.believed.of_each(self.measured, rows)
        return tuple(
            replace(self._point(row, row in members), **asdict(gain))
            for row, gain in zip(rows.tolist(), gains, strict=True)
        )

    def _point(self, row: int, on_front: bool) -> Point:
        columns = self.measured.columns
        figures: dict[str, Any] = {
            item.name: _CASTS.get(str(item.type), lambda text: text)(columns[item.name][row])
            for item in fields(Point)
            if item.name in columns
        }
        accuracy, images = figures["accuracy"], float(columns["images"][row])
        full = read_full_trainings(columns["retrained"][row])
        return Point(
            architecture=self.measured.architecture(row),
            on_front=on_front,
            accuracy_noise=math.sqrt(max(accuracy * (1 - accuracy), 0.0) / max(images, 1.0)),
            evidence=Trainings(figures["seeds"], sum(item.complete for item in full)),
            **figures,
        )

    # As files.

    def to_json(self) -> str:
        return json.dumps([point.to_dict() for point in self], indent=1)

    def _rows(self) -> list[dict[str, Any]]:
        return [
            values
            | {
                "architecture": point.architecture.to_json(),
                "evidence": json.dumps(values["evidence"]),
            }
            for point in self
            for values in [point.to_dict()]
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


def _read_limit(name: str, limit: Limit) -> tuple[Callable[[Any, float], Any], float]:
    try:
        sign, bound = limit
        number = float(bound)
        if math.isnan(number):
            raise ValueError
        return _COMPARE[sign], number
    except (TypeError, ValueError, KeyError):
        raise SpecError(f"{name}: {limit!r}; write it as in {name}=('<', 8.0)") from None
