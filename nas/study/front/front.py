"""The Pareto front of a study, its references, and what its noise allows one to say."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.tables import write_csv, write_parquet
from nas.belief.posterior import draws
from nas.spec.objective import Objective
from nas.study.front.filter import matching
from nas.study.front.indicators import hypervolume, knee, thin
from nas.study.front.network_table import NetworkTable
from nas.study.front.pareto import beaten_as_known, non_dominated
from nas.study.front.point import COLUMNS, Choice, Hypervolume, Point
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
_RIVALS, _COMPARED = 3, 200  # networks that are named, and that take part, in a choice


class Front:
    """Non-dominated architectures, with the hand-placed references beside them.

    Iterating gives the members and all references, by latency; a reference that others
    dominate has `on_front` False. Only COMPLETE trials take part.

    seed_noise: standard deviation of one network's loss between seeds; paired_noise: what of
    it is left in differences between networks trained with the same seeds, known to
    `noise_freedom` degrees of freedom (see `nas.belief.noise`). latency_limit: what is slower is
    shown only as a reference. least_seeds: that members have, once some searched network has them.
    trust: sentences on how far the proxy behind the figures can be trusted. kinds: of blocks
    that the space knows.
    """

    def __init__(
        self,
        trials: Trials,
        objectives: Sequence[Objective],
        *,
        latency_limit: float | None = None,
        least_seeds: int = 1,
        trust: Sequence[str] = (),
        kinds: Sequence[str] = (),
    ) -> None:
        found = NetworkTable.of(trials, kinds)
        columns = found.columns
        if latency_limit is not None:
            columns["eligible"] = columns["eligible"] * (columns["latency_ms"] <= latency_limit)
        # Among many networks with one seed there are always some that were lucky. Once the first
        # searched ones are confirmed, only confirmed ones are members.
        confirmed = columns["seeds"] >= least_seeds
        if (confirmed & (columns["reference"] == None)).any():  # noqa: E711
            columns["eligible"] = columns["eligible"] * confirmed
        self._set(found, objectives, trust)

    def _set(
        self, found: NetworkTable, objectives: Sequence[Objective], trust: Sequence[str]
    ) -> None:
        self.objectives = tuple(objectives)
        self.trust = tuple(trust)
        self.measured = found
        self.seed_noise, self.paired_noise = found.loss.alone, found.loss.paired
        self.noise_freedom = found.loss.freedom
        self._keep = np.ones(len(found), dtype=bool)
        self._epsilon: NDArray[np.float64] | None = None
        self._points: tuple[Point, ...] | None = None

    @classmethod
    def joined(cls, fronts: Mapping[str, Front]) -> Front:
        """One front over the networks of several, whose names its points carry as `run`."""
        first = next(iter(fronts.values()))
        assert all(front.objectives == first.objectives for front in fronts.values())
        front = cls.__new__(cls)
        trust = dict.fromkeys(line for front in fronts.values() for line in front.trust)
        measured = NetworkTable.joined({name: item.measured for name, item in fronts.items()})
        front._set(measured, first.objectives, list(trust))
        front._keep = np.concatenate([item._keep for item in fronts.values()])
        return front

    def _narrowed(self, **changes: Any) -> Front:
        narrowed = object.__new__(Front)
        narrowed.__dict__.update(self.__dict__, _points=None, **changes)
        return narrowed

    def where(self, expression: str | None = None, **limits: Limit) -> Front:
        """The front of those architectures alone that meet every limit.

        `front.where("latency_ms < 12 and sites('coord') <= 2")` (see `nas.study.front.filter`), or
        `front.where(latency_ms=("<", 12), accuracy=(">=", 0.7))`. Raises SpecError.
        """
        keep = self._keep.copy()
        if expression is not None:
            keep &= matching(expression, self.measured)
        for name, limit in limits.items():
            if name not in _FILTERS:
                raise SpecError(f"cannot filter on {name!r}; known: {', '.join(_FILTERS)}")
            compare, bound = _read_limit(name, limit)
            with np.errstate(invalid="ignore"):
                keep &= compare(self.measured.column(name), bound)
        return self._narrowed(_keep=keep)

    def thinned(self, **epsilon: float) -> Front:
        """An epsilon-front: for each network it has one that is at most so much worse.

        `front.thinned(loss=0.005, latency_ms=0.1)`; objectives not named are exact. References
        stay shown. Raises SpecError.
        """
        found = self._by_objective(epsilon, "epsilon", least=0.0)
        return self._narrowed(_epsilon=np.array([found.get(i.name, 0.0) for i in self.objectives]))

    @property
    def whole(self) -> Front:
        """With every member, where `thin` has left some out."""
        return self if self._epsilon is None else self._narrowed(_epsilon=None)

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
    def cloud(self) -> Mapping[str, NDArray[Any]]:
        """Every architecture with complete trials, as columns, for pictures."""
        return _Cloud(self.measured, self._keep)

    def searched(self, row: int) -> Point:
        """The network of a row of `cloud`, as one that is not on the front."""
        return self._point(int(np.flatnonzero(self._keep)[row]), on_front=False)

    # What it says.

    @property
    def knee(self) -> Point | None:
        """The member from which any way along the front costs most; None where there is none."""
        members = self.members
        row = knee(self._costs_of(members)) if members else None
        return None if row is None else members[row]

    def hypervolume(self, **reference: float) -> Hypervolume:
        """What the front dominates below a reference; objectives not named take the worst of
        the front and the hand-placed networks. Raises SpecError.
        """
        given = self._by_objective(reference, "reference")
        costs = self._costs_of(self.points)
        if not len(costs):
            raise SpecError("the front is empty: it has no hypervolume")
        signs = np.array([item.sign for item in self.objectives])
        worst = [
            item.sign * given[item.name] if item.name in given else costs[:, number].max()
            for number, item in enumerate(self.objectives)
        ]
        bound = np.array(worst, dtype=np.float64)
        members = self._costs_of(self.members)
        names = [item.name for item in self.objectives]
        return Hypervolume(
            hypervolume(members, bound), dict(zip(names, (signs * bound).tolist(), strict=True))
        )

    def at(self, **budget: float) -> Choice:
        """The best network whose latency (`front.at(latency_ms=8)`), parameters or multiply-adds
        keep a budget, by the first objective that is none of them. Raises SpecError.
        """
        known = ("latency_ms", "params", "macs")
        wrong = sorted(set(budget) - set(known))
        if wrong or not budget:
            found = repr(wrong[0]) if wrong else "none"
            raise SpecError(f"found budget {found}; allowed: {', '.join(known)}")
        by = next((item for item in self.objectives if item.name not in budget), None)
        if by is None:
            raise SpecError("every objective has a budget: nothing is left to choose by")
        columns = self.measured.columns
        kept = self._keep & (columns["eligible"] == 1)
        for name, bound in budget.items():
            with np.errstate(invalid="ignore"):
                kept &= columns[name] <= bound
        rows = np.flatnonzero(kept & ~np.isnan(columns[by.name]))
        if not rows.size:
            limits = ", ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
            raise SpecError(f"no evaluated network keeps {limits}")
        order = np.argsort(by.sign * columns[by.name][rows], kind="stable")
        best = rows[order][:_COMPARED]
        drawn = draws({name: v[best] for name, v in columns.items()}, [by], self.noise_freedom)
        chance = [math.nan] * len(best)
        total = math.nan
        if drawn is not None:
            expected = drawn[:, :, 0].mean(axis=0)
            costs = np.column_stack([i.sign * columns[i.name][best] for i in self.objectives])
            # None is the best that another beats which is known as well.
            beaten = beaten_as_known(costs, columns["seeds"][best])
            order = np.lexsort((expected, beaten))
            best, values = best[order], drawn[:, order, 0]
            total = float((values[:, 0] <= values.min(axis=1)).mean())
            chance = (values[:, :1] < values).mean(axis=0).tolist()
        members = set(self.member_rows.tolist())
        points = [self._point(row, row in members) for row in best[: _RIVALS + 1].tolist()]
        rivals = tuple(zip(points[1:], chance[1 : _RIVALS + 1], strict=True))
        return Choice(points[0], total, rivals, len(rows))

    def _by_objective(
        self, given: Mapping[str, float], what: str, least: float = -math.inf
    ) -> dict[str, float]:
        names = [item.name for item in self.objectives]
        for name, value in given.items():
            if name not in names:
                raise SpecError(f"{what} of {name!r}; allowed: {', '.join(names)}")
            if not (math.isfinite(value) and value >= least):
                raise SpecError(f"{what} {name}={value}; allowed: a number, {least:g} or more")
        return {name: float(value) for name, value in given.items()}

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
        kept = np.flatnonzero(self._keep & (columns["eligible"] == 1))
        if self._epsilon is None:
            return kept[non_dominated(costs[kept])]
        return kept[thin(costs[kept], self._epsilon)]

    def _make_points(self) -> Iterator[Point]:
        columns = self.measured.columns
        on_front = np.zeros(len(self._keep), dtype=bool)
        on_front[self.member_rows] = True
        references = columns["reference"] != None  # noqa: E711
        shown = np.flatnonzero(on_front | (references & self._keep))
        for row in shown[np.argsort(columns["latency_ms"][shown], kind="stable")]:
            yield self._point(int(row), bool(on_front[row]))

    def _point(self, row: int, on_front: bool) -> Point:
        value = {name: values[row] for name, values in self.measured.columns.items()}
        accuracy, images = float(value["accuracy"]), float(value["images"])
        return Point(
            trial=int(value["trial"]),
            architecture=self.measured.architecture(row),
            reference=value["reference"],
            on_front=on_front,
            seeds=int(value["seeds"]),
            loss=float(value["loss"]),
            loss_noise=float(value["loss_noise"]),
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
            confirmed_loss=float(value["confirmed_loss"]),
            confirmed_seeds=int(value["confirmed_seeds"]),
            run=value["run"],
            retrained_accuracy=float(value["retrained_accuracy"]),
            retrained_spread=float(value["retrained_spread"]),
            retrained_test_accuracy=float(value["retrained_test_accuracy"]),
            retrained_test_spread=float(value["retrained_test_spread"]),
            retrained_seeds=int(value["retrained_seeds"]),
        )

    # As files.

    def to_json(self) -> str:
        return json.dumps([point.to_dict() for point in self], indent=1)

    def _rows(self) -> list[dict[str, Any]]:
        return [point.to_dict() | {"architecture": point.architecture.to_json()} for point in self]

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
