"""What the rows of many runs say of the samplers, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student
from scipy.stats import wilcoxon

from benchmarks.search.peers import family
from benchmarks.search.sampler_runs import SIGMA
from benchmarks.search.table import Floats
from benchmarks.shared.report import print_table
from benchmarks.shared.significance import holm
from nas.base.errors import SpecError

PAIR = ["table", "quality", "cost"]
SHARES = ("share", "share_far", "share_top")
KEY = [*PAIR, "sampler", "workers", "seed"]
SHOWN = (25, 50, 100, 200, 400)


def read_rows(path: Path, shown: Sequence[int]) -> pd.DataFrame:
    if not path.exists():
        raise SpecError(f"no rows in {path}; begin with: python -m benchmarks.search.samplers run")
    rows = pd.read_csv(path).drop_duplicates([*KEY, "evaluations"], keep="last")
    if not rows["evaluations"].isin(shown).any():
        raise SpecError(f"{path} has no row after {shown[0]} evaluations; choose --evaluations")
    return rows


def half_width(values: pd.Series[float]) -> float:
    """Of the 95 % interval of the mean, by Student's t; NaN for one value."""
    if len(values) < 2:
        return math.nan
    return float(values.sem() * student.ppf(0.975, len(values) - 1))


def pairs(rows: pd.DataFrame, one: str, other: str, column: str = "share") -> Floats:
    """One minus other for each seed that both have; the sampler is told by its name."""
    wide = rows.pivot_table(index="seed", columns="sampler", values=column)
    if one not in wide or other not in wide:
        return np.empty(0)
    return (wide[one] - wide[other]).dropna().to_numpy(np.float64)


def paired_p(differences: Floats) -> float:
    """Two-sided Wilcoxon signed-rank test; NaN for fewer than two pairs."""
    if len(differences) < 2:
        return math.nan
    return 1.0 if not differences.any() else float(wilcoxon(differences).pvalue)


def title(label: object) -> str:
    assert isinstance(label, tuple)
    return f"{label[0]}, {label[1]} against {label[2]}"


def print_shares(
    rows: pd.DataFrame, names: Sequence[str], counts: Sequence[int], column: str
) -> None:
    lines = []
    for name in names:
        mine = rows[rows["sampler"] == name]
        if mine.empty:
            continue
        cells = []
        for count in counts:
            values = mine.loc[mine["evaluations"] == count, column]
            cells.append(f"{values.mean():.3f} ±{half_width(values):.3f}" if len(values) else "")
        last = mine[mine["evaluations"] == mine["evaluations"].max()]
        seconds = f"{last['ask_seconds'].mean():.3f}"
        lines.append([name, str(mine["seed"].nunique()), *cells, seconds])
    print_table(("sampler", "seeds", *map(str, counts), "CPU s/ask"), lines)


def print_differences(
    rows: pd.DataFrame, names: Sequence[str], counts: Sequence[int], against: str, column: str
) -> None:
    others = [name for name in names if name != against and name in set(rows["sampler"])]
    columns = []
    for count in counts:
        here = rows[rows["evaluations"] == count]
        differences = [pairs(here, name, against, column) for name in others]
        values = holm([paired_p(each) for each in differences])
        columns.append(
            [
                f"{each.mean():+.3f} p {value:.4f}" if len(each) else ""
                for each, value in zip(differences, values, strict=True)
            ]
        )
    lines = [[name, *cells] for name, *cells in zip(others, *columns, strict=True)]
    print_table(("sampler", *map(str, counts)), lines)


def print_workers(
    rows: pd.DataFrame, names: Sequence[str], counts: Sequence[int], column: str
) -> None:
    for label, mine in rows.groupby(PAIR, sort=False):
        print(f"\n{title(label)}: by number of workers; and how much sooner the last one ends\n")
        lines = []
        for name in names:
            for workers in sorted(set(mine.loc[mine["sampler"] == name, "workers"])):
                each = mine[(mine["sampler"] == name) & (mine["workers"] == workers)]
                means = each.groupby("evaluations")[[column, "clock"]].mean()
                cells = [
                    f"{means.loc[count, column]:.3f}" if count in means.index else ""
                    for count in counts
                ]
                last = means.index.max()
                speed = last / means.loc[last, "clock"] * math.exp(SIGMA**2 / 2)
                lines.append([f"{name}, {workers}", *cells, f"{speed:.1f}"])
        print_table(("sampler, workers", *map(str, counts), "times"), lines)


def best_of_families(rows: pd.DataFrame, names: Sequence[str], column: str) -> list[str]:
    """Of each family (what stands before the dash) the setting with the best last share."""
    last = rows[rows["evaluations"] == rows.groupby(PAIR)["evaluations"].transform("max")]
    means = last.groupby("sampler")[column].mean()
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(family(name), []).append(name)
    return [max(each, key=lambda name: means.get(name, -1.0)) for each in families.values()]
