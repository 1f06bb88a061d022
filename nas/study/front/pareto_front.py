"""The Pareto front of a study, its references, and what its noise allows one to say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.formats import format_milliseconds
from nas.base.tables import write_csv, write_parquet
from nas.belief.posterior import draws
from nas.spec.objective import Objective, values_by_objective
from nas.spec.task import ACCURACY, Figure
from nas.spec.width import is_widened
from nas.study.constant_prediction import ConstantPrediction
from nas.study.front.believed import Believed
from nas.study.front.choice import Choice, choose
from nas.study.front.cloud import Cloud
from nas.study.front.costs import expected_costs
from nas.study.front.filter import Limit, keeping, matching
from nas.study.front.findings import MARGIN, POINTS
from nas.study.front.gains import Gain, believed_gains, chances_on_front, draw_gains, gain_of_point
from nas.study.front.indicators import Hypervolume, knee, thin
from nas.study.front.named_table import NamedTable
from nas.study.front.network_table import NetworkTable
from nas.study.front.pareto import non_dominated
from nas.study.front.point import COLUMNS, Point
from nas.study.front.setbacks import find_setbacks, without_emptied
from nas.study.network_belief import NetworkBelief
from nas.study.trials import Trials

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ParetoFront"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ParetoFront:
    """The non-dominated architectures of a study, with the hand-placed references beside them.

    It holds values and answers questions; `Front` is one that shows itself in a notebook, too.

    Iterating gives the members and all references, by latency, and so does an index. A reference
    that others dominate has `on_front` False. Only COMPLETE trials take part.

    measured: all networks, of which the front is one.
    objectives: what it is a front by, the first orders a choice.
    trust: sentences on how far the proxy behind the figures can be trusted.
    keep: (n,) which networks of `measured` the filters have left.
    epsilon: (m,) how much worse a member may be that stands for others; None: every member.
    margin, margin_points: how much loss, and how many points of accuracy by full training, count
        as no difference.
    uncertified: of each device profile that latencies are predicted from and that is not
        certified, what that means, and how far its measurements repeat (NaN: timed once).
    figure: that networks are judged by beside their loss, whose names `where` and files take.
    constant: by run, what is judged of a network that tells all images the same; None: not known.
    believed: what the networks are believed to gain by full training; the front is then by that,
        not by what short trainings came to. Empty: it is by the measured figures.
    """

    measured: NetworkTable
    objectives: tuple[Objective, ...]
    trust: tuple[str, ...]
    keep: NDArray[np.bool_] = field(repr=False)
    epsilon: Floats | None = field(default=None, repr=False)
    margin: float = MARGIN
    margin_points: float = POINTS
    uncertified: tuple[tuple[str, float], ...] = ()
    figure: Figure = ACCURACY
    constant: Mapping[str | None, ConstantPrediction] = field(default_factory=dict)
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
        uncertified: Sequence[tuple[str, float]] = (),
        kinds: Sequence[str] = (),
        belief: NetworkBelief | None = None,
        regime: str | None = None,
        figure: Figure = ACCURACY,
        constant: ConstantPrediction | None = None,
    ) -> Self:
        """Make the front of some trials.

        latency_limit: ms; what is slower is shown only as a reference.
        least_seeds: that members have, once some searched network has them.
        trust: sentences on how far the proxy behind the figures can be trusted.
        uncertified: profiles that latencies are predicted from, as the front has them.
        kinds: of blocks that the space knows.
        belief: about the networks of the trials.
        regime: that the trials are evidence of.
        figure: that they are judged by beside their loss.
        constant: what is judged of one that tells all images the same; None: it is not known.
        """
        measured = NetworkTable.of(trials, kinds, regime).narrowed(
            latency_limit=latency_limit, least_seeds=least_seeds
        )
        return cls(
            measured,
            tuple(objectives),
            tuple(trust),
            np.ones(len(measured), dtype=bool),
            uncertified=tuple(uncertified),
            figure=figure,
            constant={} if constant is None else {None: constant},
            believed=Believed({} if belief is None else {None: belief}),
        )

    @classmethod
    def joined(cls, fronts: Mapping[str, Self]) -> Self:
        """Make one front over the networks of several.

        fronts: by the name that their points carry as `run`; all by the same objectives, and judged
            by the same figure.
        """
        first = next(iter(fronts.values()))
        asked = first.objectives, first.figure
        assert all((front.objectives, front.figure) == asked for front in fronts.values())
        return cls(
            NetworkTable.joined({name: front.measured for name, front in fronts.items()}),
            first.objectives,
            tuple(dict.fromkeys(line for front in fronts.values() for line in front.trust)),
            np.concatenate([front.keep for front in fronts.values()]),
            margin=first.margin,
            margin_points=first.margin_points,
            figure=first.figure,
            constant={
                name: constant
                for name, front in fronts.items()
                for constant in front.constant.values()
            },
            uncertified=tuple(
                dict.fromkeys(item for front in fronts.values() for item in front.uncertified)
            ),
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
        """The part of `seed_noise` that is left between networks with the same seeds."""
        return self.measured.loss.paired

    @property
    def noise_freedom(self) -> int:
        """The degrees of freedom that the noise is known to (see `nas.belief.noise`)."""
        return self.measured.loss.freedom

    @property
    def has_gain_loss(self) -> bool:
        """True where a gain in loss by full training is believed of any point."""
        return not all(math.isnan(point.gain_loss) for point in self)

    @property
    def has_gain(self) -> bool:
        """True where a gain in the task's figure by full training is believed of any point."""
        return not all(math.isnan(point.gain) for point in self)

    def where(self, expression: str | None = None, **limits: Limit) -> Self:
        """Return the front of those architectures alone that meet every limit.

        `front.where("latency_ms < 12 and sites('coord') <= 2")` (see `nas.study.front.filter`), or
        `front.where(latency_ms=("<", 12), accuracy=(">=", 0.7))`.
        Raises SpecError for what cannot be read or filtered by.
        """
        keep = self.keep
        table = NamedTable(self.measured, self.figure)
        if expression is not None:
            keep = keep & matching(expression, table)
        return replace(self, keep=keep & keeping(limits, table))

    def thinned(self, **epsilon: float) -> Self:
        """Return an epsilon-front: for each network it has one that is at most so much worse.

        `front.thinned(loss=0.005, latency_ms=0.1)`; objectives not named are exact. References
        stay shown. Raises SpecError.
        """
        allowed = values_by_objective(self.objectives, epsilon, "epsilon", least=0.0)
        worse = [allowed.get(objective.name, 0.0) for objective in self.objectives]
        return replace(self, epsilon=np.array(worse))

    @property
    def whole(self) -> Self:
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

    @overload
    def __getitem__(self, number: int) -> Point: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[Point, ...]: ...
    def __getitem__(self, number: int | slice) -> Point | tuple[Point, ...]:
        return self.points[number]

    def __repr__(self) -> str:
        names = self.figure.worded(" and ".join(item.title for item in self.objectives))
        searched = sum(point.reference is None for point in self)
        text = f"{searched} searched and {len(self) - searched} hand-placed networks"
        if len(self):
            ends = [format_milliseconds(self[end].latency_ms) for end in (0, -1)]
            text += f", {ends[0]} to {ends[1]} ms"
        return f"<Front of {names}: {text}>"

    @property
    def cloud(self) -> Mapping[str, NDArray[Any]]:
        """Every architecture with complete trials, as columns, for pictures."""
        return Cloud(self.measured, self.keep)

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
        Raises SpecError for an unknown objective, when the front is empty, and when an objective
        is known of no network here.
        """
        bounds = values_by_objective(self.objectives, reference, "reference")
        if not len(self.point_rows):
            raise SpecError("the front is empty: it has no hypervolume")
        members, shown = self._costs[self.member_rows], self._costs[self.point_rows]
        return Hypervolume.of(members, shown, self.objectives, bounds)

    def at(self, *, within: float | None = None, **budget: float) -> Choice:
        """Return the best network that keeps a budget, and how sure that is.

        budget: `front.at(latency_ms=8)`; latency in ms, parameters or multiply-adds. The choice is
        by the first objective that has none.
        within: how many points of accuracy by full training count as no difference, for the
        cheapest that is as good as the best; None: half a point.
        Raises SpecError for a budget of anything else, and when no network keeps it, or those alone
        that are shown to be worse than the trained one that they came from.
        """
        ranking = choose(
            self.measured,
            self.keep,
            self.objectives,
            self.believed,
            budget,
            self.draw,
            within=within,
            setbacks=self._setbacks,
        )
        return Choice.of(ranking, self._points_of)

    @cached_property
    def recommended(self) -> tuple[Point, ...]:
        """Those of `members` that may be recommended, by latency.

        None that is shown to be worse than the trained network it came from, or that is without
        what that came with and not shown to be better.
        """
        worse = set(self.member_rows[self._setbacks(self.member_rows)].tolist())
        rows = zip(self.point_rows.tolist(), self.points, strict=True)
        not_worse = [point for row, point in rows if point.on_front and row not in worse]
        return tuple(without_emptied(not_worse))

    def _setbacks(self, rows: Whole) -> NDArray[np.bool_]:
        """Return (k,) which networks are shown to be worse than the trained one they came from."""
        return find_setbacks(self.measured, rows, self.draw_gains)

    def draw(
        self, objective: Objective, rows: Whole, count: int = 4000, seed: int = 0
    ) -> Floats | None:
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

    def draw_costs(self, rows: Whole, *, count: int = 4000, seed: int = 0) -> Floats | None:
        """Draw what all objectives of some networks may be, (count, k, m); see `draw`."""
        drawn = [
            self.draw(objective, rows, count, 100 * seed + number)
            for number, objective in enumerate(self.objectives)
        ]
        known = [values for values in drawn if values is not None]
        return np.stack(known, axis=2) if len(known) == len(drawn) else None

    def draw_gains(self, rows: Whole) -> Floats | None:
        """Draw what networks may gain in loss on the plain one, (count, k), jointly.

        Likewise.
        """
        believed = self.believed.gains(self.measured, rows)
        return draw_gains(self.measured, rows) if believed is None else believed

    @cached_property
    def gains(self) -> tuple[Gain, ...]:
        """The loss that each of `points` is believed to save against the plain network.

        Likewise; the points themselves have it of full training alone.
        """
        rows, beside = self.point_rows, np.flatnonzero(self.keep)
        if not self.believed.by_run:
            return believed_gains(self.measured, rows, beside)
        chances = chances_on_front(self.measured, rows, beside, self.draw_gains)
        return tuple(
            gain_of_point(point, chance) for point, chance in zip(self.points, chances, strict=True)
        )

    # Points.

    @cached_property
    def _costs(self) -> Floats:
        """(n, m), minimised, by which it is a front."""
        return expected_costs(self.measured, self.keep, self.objectives, self.believed)

    @cached_property
    def member_rows(self) -> Whole:
        """(k,) numbers of the members among the rows of `measured`."""
        kept = np.flatnonzero(self.keep & (self.measured.columns["eligible"] == 1))
        if self.epsilon is None:
            return kept[non_dominated(self._costs[kept])]
        return kept[thin(self._costs[kept], self.epsilon)]

    @cached_property
    def point_rows(self) -> Whole:
        """(k,) numbers of `points` among the rows of `measured`."""
        is_point = self.keep & (self.measured.columns["reference"] != None)  # noqa: E711
        is_point[self.member_rows] = True
        return self._by_latency(np.flatnonzero(is_point))

    def _by_latency(self, rows: Whole) -> Whole:
        return rows[np.argsort(self.measured.columns["latency_ms"][rows], kind="stable")]

    def _points_of(self, rows: Whole) -> tuple[Point, ...]:
        """Return the points of rows, in their order."""
        members = set(self.member_rows.tolist())
        gains = self.believed.of_each(self.measured, rows)
        points = (
            Point.of(self.measured, row, on_front=row in members, believed=gain)
            for row, gain in zip(rows.tolist(), gains, strict=True)
        )
        if self.figure == ACCURACY:
            return tuple(points)
        # Another figure is no share of the images: what it would be of them is no noise of it.
        return tuple(replace(point, accuracy_noise=math.nan) for point in points)

    # As files.

    def to_json(self) -> str:
        """Return the points as a JSON list of objects."""
        return json.dumps([self.described(point) for point in self], indent=1)

    def described(self, point: Point) -> dict[str, Any]:
        """Return a point as plain values, its figures by their names."""
        return self._named(point.to_dict())

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values of a point, or of all, by the names that they have here."""
        return {self.figure.column(name): value for name, value in values.items()}

    def _rows(self) -> list[dict[str, Any]]:
        return [self._named(point.to_row()) for point in self]

    def write_csv(self, path: str | Path) -> None:
        """Write one row per point, the architecture as canonical JSON. Raises StorageError."""
        write_csv(Path(path), list(self._named(COLUMNS)), self._rows())

    def write_parquet(self, path: str | Path) -> None:
        """Write the rows of `write_csv`, typed. Raises StorageError."""
        write_parquet(Path(path), self._named(COLUMNS), self._rows())

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `write_csv` as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=list(self._named(COLUMNS)))
