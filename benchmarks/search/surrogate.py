"""A table of any network of a large space, from figures of a sample of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from benchmarks.search.surrogate_front import search_front
from benchmarks.search.table import Choices, Figures, Floats, Table, Whole
from nas.base.files import write_whole
from nas.study.front.pareto import non_dominated

STAGE = re.compile(r"block(\d+)_(\w+)")
SHRINKAGE = 1e-6  # of the ridge that fits sums over stages, which settings overdetermine


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


def fit_table(
    name: str,
    quality: str,
    cost: str,
    free: tuple[str, ...],
    rows: pd.DataFrame,
    known: Floats,
    cache: Path | None,
) -> Table:
    """known: (n, 2 + len(free)), loss, cost and free figures of the rows."""
    parameters, codes, stages = settings_of(rows)
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


def settings_of(rows: pd.DataFrame) -> tuple[dict[str, Choices], Whole, Stages]:
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
