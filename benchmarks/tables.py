"""Tables of accuracy and latency in one shape: what a sampler may choose, and what comes of it.

A table is a CSV file (or .csv.xz) of one of three kinds, told apart by its columns:

- NAS-Bench-201: `arch` (a cell, as NAS-Bench-201 writes it). Each of the six edges is a parameter
  with five labels. All cells are candidates, functional duplicates (`uniq`) too, since a sampler
  does not know them. Cells whose output hangs on no input answer in microseconds on a phone, at
  the accuracy of chance: a sampler may ask for them and sees what they give, but they are never
  part of a front, neither of the true one nor of one that was found.
- NAS-Bench-Macro: `arch` (digits, a layer each) and `acc0`, `acc1`, ...: seeds. One of them is
  observed; the true value is their mean.
- Accel-NASBench: `block<i>_<what>`. The file holds few networks of a large space, so figures of any
  network are those of a surrogate. Accuracy: gradient-boosted trees on the settings (trees alone,
  since a part that adds up would flatter samplers that model sums). Cost, params, macs: sums over
  stages, by what each holds. Five-fold R2 .98 for `acc`, .9996 for `latency_vck190` (trees on its
  logarithm: .997); params and macs are exact.

In each the loss is minus the accuracy, and both objectives are minimised. Other columns are told by
their names: lat..., energy...: costs; macs, flops, params: figures that are free, and the first two
costs where the file has no other; the rest with numbers in it: accuracies. A network of a whole
table without a value is seen as bad as the worst, and is no part of a front.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from latency_nb201 import CELL, EDGES, NODES, OPS, parse
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from nas.base.errors import SpecError
from nas.base.files import write_whole
from nas.study.front.pareto import non_dominated

__all__ = [
    "Columns",
    "Table",
    "columns_of",
    "hypervolume",
    "load_table",
    "neighbours",
    "surrogate_scores",
]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Choices = tuple[str, ...] | tuple[int, ...]
Figures = Callable[[Whole], Floats]

COSTS = ("lat", "energy")
FREE = ("macs", "flops", "params")
NEVER = ("std", "mean", "throughput", "seed", "index", "Unnamed")
STAGE = re.compile(r"block(\d+)_(\w+)")
SEED = re.compile(r"acc\d+")
SHRINKAGE = 1e-6  # of the ridge that fits sums over stages, which settings overdetermine
MARGIN = 0.1  # of the front's range, from its nadir to the reference point


@dataclass(frozen=True, slots=True)
class Table:
    """A space of networks and what is known of each.

    parameters: name -> its choices; whole numbers where they have an order, labels where not.
    All that is known is asked for by codes (n, D), the number of each choice. losses: (n, seeds);
    cost_of: (n,); free_of: (n, len(free)); usable: (n,), whether it may be part of a front.
    front: (k, 2), the true one, by the mean over seeds. worst: (2,), of all usable networks of the
    file. usual_loss: their median.
    """

    name: str
    quality: str
    cost: str
    parameters: Mapping[str, Choices]
    seeds: int
    free: tuple[str, ...]
    losses: Figures
    cost_of: Figures
    free_of: Figures
    usable: Callable[[Whole], Flags]
    front: Floats
    worst: Floats
    usual_loss: float

    @property
    def sizes(self) -> Whole:
        """(D,): how many choices each parameter has."""
        return np.array([len(choices) for choices in self.parameters.values()])

    @property
    def nominal(self) -> Flags:
        """(D,): choices without an order."""
        return np.array([isinstance(each[0], str) for each in self.parameters.values()])

    def truth(self, codes: Whole) -> Floats:
        """(n, 2): mean loss, cost."""
        return np.stack([self.losses(codes).mean(axis=1), self.cost_of(codes)], axis=1)

    def references(self) -> tuple[Floats, Floats, Floats]:
        """Near: the nadir of the true front moved out by a tenth of its range. Far: the worst of
        all. Top: as near, but with the loss that half of all networks reach, where it is lower;
        fronts begin with networks that are fast and nothing else, whose area drowns the rest.
        """
        low, high = self.front.min(axis=0), self.front.max(axis=0)
        near = high + MARGIN * (high - low)
        return near, self.worst, np.array([min(near[0], self.usual_loss), near[1]])

    def shares(self, points: Floats) -> tuple[float, float, float]:
        """Hypervolume of true values (n, 2) over that of the true front: near, far, top."""
        near, far, top = (
            hypervolume(points, reference) / hypervolume(self.front, reference)
            for reference in self.references()
        )
        return near, far, top


def hypervolume(costs: Floats, reference: Floats) -> float:
    """The area that costs (n, 2), minimised, dominate up to the reference point (2,)."""
    inside = costs[(costs < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    ordered = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
    heights = np.minimum.accumulate(ordered[:, 1])
    widths = np.diff(np.append(ordered[:, 0], reference[0]))
    return float((widths * (reference[1] - heights)).sum())


# Reading.


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file are what. seeds: of an accuracy, its columns."""

    seeds: Mapping[str, tuple[str, ...]]
    costs: tuple[str, ...]
    free: tuple[str, ...]


def columns_of(path: Path) -> Columns:
    """The pairs of quality and cost that a file holds are those of `seeds` and `costs`."""
    return _columns(_read(path), path)


def load_table(path: Path, quality: str, cost: str, cache: Path | None = None) -> Table:
    """cache: a folder where the true front of a surrogate is kept, which takes a minute to find.

    Raises SpecError when the file has no such columns.
    """
    rows = _read(path)
    columns = _columns(rows, path)
    for kind, name, allowed in (
        ("quality", quality, columns.seeds),
        ("cost", cost, columns.costs),
    ):
        if name not in allowed:
            raise SpecError(f"no {kind} {name!r} in {path}; there are {', '.join(allowed)}")
    free = tuple(name for name in columns.free if name != cost)
    losses = -rows[list(columns.seeds[quality])].to_numpy(np.float64)
    known = np.column_stack([losses, rows[[cost, *free]].to_numpy(np.float64)])
    name = path.name.split(".")[0]
    if "arch" not in rows:
        measured = ~np.isnan(known).any(axis=1)
        return _fitted(name, quality, cost, free, rows[measured], known[measured], cache)
    codes, parameters, usable = _cells(rows) if _is_cell(rows) else _layers(rows)
    usable &= ~np.isnan(known).any(axis=1)
    known = np.where(np.isnan(known), np.nanmax(known, axis=0), known)
    return _listed(name, quality, cost, free, parameters, codes, known, usable)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"arch": str})
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read as CSV: {error}") from error


def _columns(rows: pd.DataFrame, path: Path) -> Columns:
    numbers = [str(name) for name in rows.select_dtypes("number")]
    numbers = [each for each in numbers if not STAGE.fullmatch(each) and not each.startswith(NEVER)]
    free = tuple(name for name in FREE if name in numbers)
    costs = tuple(name for name in numbers if name.startswith(COSTS))
    rest = [name for name in numbers if name not in (*costs, *free)]
    repeated = tuple(name for name in rest if SEED.fullmatch(name))
    seeds: dict[str, tuple[str, ...]] = {each: (each,) for each in rest if each not in repeated}
    if repeated:
        seeds["acc"] = repeated
    if not seeds or not (costs or free):
        raise SpecError(f"{path} has no accuracy or no cost; see the first lines of tables.py")
    return Columns(seeds, costs or tuple(name for name in free if name != "params"), free)


# Tables that hold every network of their space.


def _is_cell(rows: pd.DataFrame) -> bool:
    return CELL.fullmatch(str(rows["arch"].iloc[0])) is not None


def _cells(rows: pd.DataFrame) -> tuple[Whole, Mapping[str, Choices], Flags]:
    codes = parse(list(rows["arch"]))
    return codes, {f"{start}_to_{end}": OPS for start, end in EDGES}, _connected(codes)


def _connected(ops: Whole) -> Flags:
    """(n,): whether a way leads from a cell's input to its output."""
    reached = np.zeros((len(ops), NODES), bool)
    reached[:, 0] = True
    for edge, (start, end) in enumerate(EDGES):
        reached[:, end] |= reached[:, start] & (ops[:, edge] > 0)
    return reached[:, -1]


def _layers(rows: pd.DataFrame) -> tuple[Whole, Mapping[str, Choices], Flags]:
    digits = np.array([list(arch) for arch in rows["arch"]])
    labels = tuple(str(each) for each in np.unique(digits))
    codes = np.searchsorted(np.array(labels), digits).astype(np.int64)
    parameters = {f"layer{number}": labels for number in range(codes.shape[1])}
    return codes, parameters, np.ones(len(codes), bool)


def _listed(
    name: str,
    quality: str,
    cost: str,
    free: tuple[str, ...],
    parameters: Mapping[str, Choices],
    codes: Whole,
    known: Floats,
    usable: Flags,
) -> Table:
    """known: (n, seeds + 1 + len(free)) of the networks `codes`, which must be the whole space."""
    sizes = np.array([len(choices) for choices in parameters.values()])
    strides = np.append(np.cumprod(sizes[:0:-1])[::-1], 1)
    places = codes @ strides
    if len(np.unique(places)) != sizes.prod():
        raise SpecError(f"{name} holds {len(codes)} networks of {sizes.prod()}; give a whole table")
    row_of = np.argsort(places)  # every place is taken once
    seeds = known.shape[1] - 1 - len(free)
    truth = np.stack([known[:, :seeds].mean(axis=1), known[:, seeds]], axis=1)[usable]
    return Table(
        name,
        quality,
        cost,
        parameters,
        seeds,
        free,
        losses=lambda asked: known[row_of[asked @ strides], :seeds],
        cost_of=lambda asked: known[row_of[asked @ strides], seeds],
        free_of=lambda asked: known[row_of[asked @ strides], seeds + 1 :],
        usable=lambda asked: usable[row_of[asked @ strides]],
        front=truth[non_dominated(truth)],
        worst=truth.max(axis=0),
        usual_loss=float(np.median(truth[:, 0])),
    )


# A table that holds a sample of a large space.


@dataclass(frozen=True, slots=True)
class Stages:
    """sizes: (D,) choices of each parameter; members: of each stage, the numbers of its own."""

    sizes: Whole
    members: tuple[tuple[int, ...], ...]

    def fit(self, codes: Whole, figures: Floats) -> Figures:
        """Codes (n, D), figures (n, k) -> a function of codes that sums what each stage adds."""
        places, sizes = self._places(codes), self._combinations()
        flat = np.concatenate([np.eye(n)[place] for place, n in zip(places, sizes, strict=True)], 1)
        spread = figures.std(axis=0)
        model = Ridge(alpha=SHRINKAGE).fit(flat, figures / spread)
        parts = np.split(np.atleast_2d(model.coef_).T * spread, np.cumsum(sizes)[:-1])
        start = model.intercept_ * spread

        def add_up(asked: Whole) -> Floats:
            rows = zip(parts, self._places(asked), strict=True)
            return np.asarray(start + sum(part[place] for part, place in rows))

        return add_up

    def _combinations(self) -> list[int]:
        return [int(self.sizes[list(members)].prod()) for members in self.members]

    def _places(self, codes: Whole) -> list[Whole]:
        """Of each stage (n,): which of all its settings stands there."""
        return [
            np.ravel_multi_index(tuple(codes[:, list(own)].T), tuple(self.sizes[list(own)]))
            for own in self.members
        ]


class Surrogate:
    """Figures of any network of a space, from a sample of it."""

    def __init__(self, stages: Stages, codes: Whole, figures: Floats) -> None:
        """codes: (n, D); figures: (n, 2 + free), loss, cost, and what is free."""
        self._forest = HistGradientBoostingRegressor(
            learning_rate=0.1, max_iter=600, max_leaf_nodes=8, random_state=0
        ).fit(codes, figures[:, 0])
        self._sums = stages.fit(codes, figures[:, 1:])
        self._least = figures[:, 1].min() / 2  # a sum may leave what is possible

    def loss(self, codes: Whole) -> Floats:
        """(n, 1)."""
        return np.asarray(self._forest.predict(codes))[:, None]

    def cost(self, codes: Whole) -> Floats:
        """(n,)."""
        return np.asarray(np.maximum(self._sums(codes)[:, 0], self._least))

    def free(self, codes: Whole) -> Floats:
        """(n, free)."""
        return self._sums(codes)[:, 1:]

    def predict(self, codes: Whole) -> Floats:
        """(n, 2): loss, cost."""
        return np.column_stack([self.loss(codes), self.cost(codes)])


class Remembered:
    """A function of codes (n, D) to (n, 1) that computes each row once."""

    def __init__(self, compute: Figures) -> None:
        self._compute = compute
        self._known: dict[bytes, Floats] = {}

    def __call__(self, codes: Whole) -> Floats:
        keys = [row.tobytes() for row in codes.astype(np.int8)]
        new = {key: row for key, row in zip(keys, codes, strict=True) if key not in self._known}
        if new:
            found = self._compute(np.array(list(new.values())))
            self._known.update(zip(new, found, strict=True))
        return np.array([self._known[key] for key in keys]).reshape(len(codes), 1)


def _fitted(
    name: str,
    quality: str,
    cost: str,
    free: tuple[str, ...],
    rows: pd.DataFrame,
    known: Floats,
    cache: Path | None,
) -> Table:
    """known: (n, 2 + len(free)), loss, cost and free figures of the rows."""
    parameters, codes, stages = _settings(rows)
    model = Surrogate(stages, codes, known)
    front = model.predict(_front_of(model, stages, codes, name, cache))
    return Table(
        name,
        quality,
        cost,
        parameters,
        1,
        free,
        losses=Remembered(model.loss),
        cost_of=model.cost,
        free_of=model.free,
        usable=lambda asked: np.ones(len(asked), bool),
        front=front[non_dominated(front)],
        worst=known[:, :2].max(axis=0),
        usual_loss=float(np.median(known[:, 0])),
    )


def _front_of(
    model: Surrogate, stages: Stages, codes: Whole, name: str, cache: Path | None
) -> Whole:
    """(k, D): the networks of the true front, from the cache where it has this very surrogate."""
    if cache is None:
        return search_front(model.predict, stages.sizes, codes)
    told = hashlib.sha256(np.round(model.predict(codes), 6).tobytes()).hexdigest()
    path = cache / f"{name}-{told[:16]}.npy"
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False))
    found = search_front(model.predict, stages.sizes, codes)
    cache.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, found, allow_pickle=False)
    return found


def _settings(rows: pd.DataFrame) -> tuple[dict[str, Choices], Whole, Stages]:
    """Parameters, codes (n, D) and which parameters make a stage."""
    parameters: dict[str, Choices] = {}
    codes: list[Whole] = []
    stages: dict[str, list[int]] = {}
    for name in map(str, rows):
        match = STAGE.fullmatch(name)
        if match is None:
            continue
        values = np.unique(rows[name].to_numpy())
        ordered = values.dtype.kind in "iuf"
        parameters[name] = tuple(map(int, values)) if ordered else tuple(map(str, values))
        stages.setdefault(match[1], []).append(len(codes))
        codes.append(np.searchsorted(values, rows[name].to_numpy()))
    sizes = np.array([len(choices) for choices in parameters.values()])
    members = tuple(tuple(each) for each in stages.values())
    return parameters, np.stack(codes, axis=1).astype(np.int64), Stages(sizes, members)


def surrogate_scores(path: Path, quality: str, cost: str, folds: int = 5) -> dict[str, Scores]:
    """Of `quality` and `cost`: how the surrogate predicts rows that it was not fitted to."""
    rows = _read(path).dropna(subset=[quality, cost])
    _, codes, stages = _settings(rows)
    costs = np.stack([-rows[quality].to_numpy(float), rows[cost].to_numpy(float)], axis=1)
    predicted = np.empty_like(costs)
    for fitted, left in KFold(folds, shuffle=True, random_state=0).split(codes):
        predicted[left] = Surrogate(stages, codes[fitted], costs[fitted]).predict(codes[left])
    return {
        name: Scores(
            r2=1 - float(np.mean((true - guess) ** 2) / np.var(true)),
            spearman=float(pd.Series(true).corr(pd.Series(guess), method="spearman")),
        )
        for name, true, guess in zip((quality, cost), costs.T, predicted.T, strict=True)
    }


@dataclass(frozen=True, slots=True)
class Scores:
    """Of predictions for rows that were left out."""

    r2: float
    spearman: float


# The true front of a surrogate.

STARTS, GENERATIONS, CHILDREN = 4, 60, 1000


def search_front(predict: Figures, sizes: Whole, rows: Whole) -> Whole:
    """(k, D): the best front that a long evolution finds, the same wherever this runs.

    Once from all rows of the file and then from networks drawn at random, always the front is
    crossed and mutated; what all of them found is then climbed until no network that differs in
    one parameter from a member joins the front.
    """
    ends = []
    for start in range(STARTS):
        rng = np.random.default_rng(start)
        drawn = rng.integers(0, sizes, (len(rows), len(sizes)))
        ends.append(_evolve(predict, sizes, rows if start == 0 else drawn, rng))
    return _climb(predict, sizes, _kept(predict, np.concatenate(ends)))


def _kept(predict: Figures, codes: Whole) -> Whole:
    distinct = np.unique(codes, axis=0)
    return distinct[non_dominated(predict(distinct))]


def _evolve(predict: Figures, sizes: Whole, codes: Whole, rng: np.random.Generator) -> Whole:
    front = _kept(predict, codes)
    for _ in range(GENERATIONS):
        one, other = (front[rng.integers(0, len(front), CHILDREN)] for _ in range(2))
        children = np.where(rng.random(one.shape) < 0.5, one, other)
        mutated = rng.random(one.shape) < 1.5 / len(sizes)
        children = np.where(mutated, rng.integers(0, sizes, one.shape), children)
        front = _kept(predict, np.concatenate([front, children]))
    return front


def _climb(predict: Figures, sizes: Whole, front: Whole) -> Whole:
    while True:
        found = _kept(predict, np.concatenate([front, *(neighbours(row, sizes) for row in front)]))
        if len(found) == len(front) and (found == front).all():
            return found
        front = found


def neighbours(row: Whole, sizes: Whole) -> Whole:
    """(n, D): all that differ from row (D,) in one parameter."""
    found = [
        np.concatenate([row[:place], [choice], row[place + 1 :]])
        for place, size in enumerate(sizes)
        for choice in range(size)
        if choice != row[place]
    ]
    return np.array(found)
