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

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from benchmarks.latency.nb201 import CELL, EDGES, NODES, OPS, parse
from benchmarks.search.surrogate import STAGE, Surrogate, fit_table, settings_of
from benchmarks.search.table import Choices, Flags, Floats, Table, Whole
from nas.base.errors import SpecError
from nas.study.front.pareto import non_dominated

COSTS = ("lat", "energy")
FREE = ("macs", "flops", "params")
NEVER = ("std", "mean", "throughput", "seed", "index", "Unnamed")
SEED = re.compile(r"acc\d+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file are what. seeds: of an accuracy, its columns."""

    seeds: Mapping[str, tuple[str, ...]]
    costs: tuple[str, ...]
    free: tuple[str, ...]


def columns_of(path: Path) -> Columns:
    """The pairs of quality and cost that a file holds are those of `seeds` and `costs`."""
    return _columns(_read(path), path)


def name_table(parser: ArgumentParser) -> None:
    """Let a command line name a table with its quality and cost; see `named_table`."""
    parser.add_argument("table", type=Path)
    parser.add_argument("--quality", default="acc")
    parser.add_argument("--cost", required=True)


def named_table(parser: ArgumentParser, given: Namespace) -> Table:
    """Load the table that a command line names; where it cannot be, the program ends."""
    try:
        return load_table(given.table, given.quality, given.cost)
    except SpecError as error:
        parser.error(str(error))


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
        return fit_table(name, quality, cost, free, rows[measured], known[measured], cache)
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
        raise SpecError(f"{path} has no accuracy or no cost; see the first lines of table_files.py")
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


@dataclass(frozen=True, slots=True)
class Scores:
    """Of predictions for rows that were left out."""

    r2: float
    spearman: float


def surrogate_scores(path: Path, quality: str, cost: str, folds: int = 5) -> dict[str, Scores]:
    """Of `quality` and `cost`: how the surrogate predicts rows that it was not fitted to."""
    rows = _read(path).dropna(subset=[quality, cost])
    _, codes, stages = settings_of(rows)
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
