"""How well samplers find the front of accuracy and cost, on tables where it is known.

    python benchmarks/search_tables.py run TABLE ... [--samplers NAME ...] [--jobs 2]
    python benchmarks/search_tables.py report [--picture docs/search-tables.png]

TABLE: a CSV file (tables.py says of what kinds); every pair of its accuracies and costs is one
task, or those of --quality and --cost. A run is one sampler with one seed: networks are asked for
and their loss and cost told, one after the other, or by several workers on a clock that is
simulated (an evaluation takes a lognormal time, sigma 0.3, and evaluations count in the order in
which they end). After 10, 25, 50, ... of them stands what the front of the networks seen so far is
worth: the hypervolume of their true values, as a share of the true front's. Where a table has
several seeds, one is observed and the networks are chosen by what was observed, but valued by the
mean. Three reference points: the nadir of the true front moved out by a tenth of its range; the
worst of the table (far); the first with the loss that half of the table's networks reach (top).

A network that is known already is not evaluated again: the sampler is told its values at no cost
and asked again, after 200 times in a row a network is drawn at random. Asking is timed in seconds
of CPU on one thread.

Rows are appended to a file as runs end (--rows), so an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, field, fields
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report import print_machine, print_table
from scipy.stats import t as student
from scipy.stats import wilcoxon
from search_peers import PACKAGES, PEERS, Codes, Searcher, family, installed, make_searcher
from tables import Floats, Table, columns_of, load_table

from nas.base.errors import NasError, SpecError
from nas.base.files import write_whole
from nas.base.seeds import derive
from nas.study.front.pareto import non_dominated

ROWS = Path("docs/search-tables.csv")
COUNTS = (10, 25, 50, 75, 100, 150, 200, 300, 400, 600, 800)  # evaluations that rows are written at
REPEATS = 200  # known networks in a row, before one is drawn at random
SIGMA = 0.3  # of the logarithm of an evaluation's time


@dataclass(frozen=True, slots=True)
class Task:
    """One run: a sampler with a seed on a pair of columns."""

    table: Path
    quality: str
    cost: str
    sampler: str
    workers: int
    seed: int
    evaluations: int

    @property
    def key(self) -> tuple[str, ...]:
        name = self.table.name.split(".")[0]
        return (name, self.quality, self.cost, self.sampler, str(self.workers), str(self.seed))


@dataclass(frozen=True, slots=True)
class Row:
    """What a run had after some evaluations.

    share, share_far, share_top: of the true front's hypervolume, for each reference point.
    found: networks in the front. clock: simulated, an evaluation takes 1 at the median. repeats:
    known networks that were asked for. ask_seconds: of CPU, a mean per evaluation.
    """

    table: str
    quality: str
    cost: str
    sampler: str
    workers: int
    seed: int
    evaluations: int
    share: float
    share_far: float
    share_top: float
    found: int
    clock: float
    repeats: int
    ask_seconds: float


# One run.


@dataclass
class Run:
    """A sampler at work on a table. Only `search` moves it on."""

    table: Table
    searcher: Searcher
    seed: int
    workers: int = 1
    clock: float = 0.0
    asked: int = 0
    repeats: int = 0
    seconds: float = 0.0
    seen: dict[Codes, tuple[float, float]] = field(default_factory=dict)
    _out: dict[Codes, int] = field(default_factory=dict)
    _ends: list[tuple[float, int, Codes]] = field(default_factory=list)

    def search(self, evaluations: int) -> Iterator[int]:
        """Yields the number of evaluations after each."""
        durations = np.random.default_rng(derive(self.seed, "durations")).lognormal(
            0.0, SIGMA, evaluations
        )
        started = 0
        while len(self.seen) < evaluations:
            while started < evaluations and len(self._out) < self.workers:
                codes = self._ask()
                if codes is None:
                    break
                heapq.heappush(self._ends, (self.clock + durations[started], self.asked - 1, codes))
                started += 1
            if not self._ends:
                raise RuntimeError("the sampler waits for a result, but nothing is out")
            self.clock, number, codes = heapq.heappop(self._ends)
            del self._out[codes]
            self.seen[codes] = self._observe(codes)
            self._tell(number, self.seen[codes])
            yield len(self.seen)

    def front(self) -> Floats:
        """(n, 2): true values of the networks that look non-dominated."""
        codes = np.array(list(self.seen))
        usable = self.table.usable(codes)
        codes, observed = codes[usable], np.array(list(self.seen.values()))[usable]
        if not len(codes):
            return np.empty((0, 2))
        return self.table.truth(codes[non_dominated(observed)])

    def _ask(self) -> Codes | None:
        """A network that is neither known nor out, taken note of; None: wait."""
        begun = time.process_time()
        try:
            for _ in range(REPEATS):
                number = self.asked
                codes = self.searcher.ask(number)
                if codes is None:
                    return None
                self.asked += 1
                if codes not in self.seen and codes not in self._out:
                    self._out[codes] = number
                    return codes
                self.repeats += 1
                self.searcher.tell(number, self.seen.get(codes))
            codes = self._draw()
            self.searcher.note(self.asked, codes)
            self._out[codes] = self.asked
            self.asked += 1
            return codes
        finally:
            self.seconds += time.process_time() - begun

    def _tell(self, number: int, costs: tuple[float, float]) -> None:
        begun = time.process_time()
        self.searcher.tell(number, costs)
        self.seconds += time.process_time() - begun

    def _draw(self) -> Codes:
        rng = np.random.default_rng(derive(self.seed, "random", self.asked))
        while True:
            codes = tuple(map(int, rng.integers(0, self.table.sizes)))
            if codes not in self.seen and codes not in self._out:
                return codes

    def _observe(self, codes: Codes) -> tuple[float, float]:
        """Which seed is observed depends on the run and the network alone."""
        one = np.array([codes])
        losses = self.table.losses(one)[0]
        drawn = derive(self.seed, "observe", *codes) % len(losses)
        return float(losses[drawn]), float(self.table.cost_of(one)[0])


@lru_cache(maxsize=16)
def _table(path: Path, quality: str, cost: str, cache: Path | None) -> Table:
    return load_table(path, quality, cost, cache)


def run_one(task: Task, cache: Path | None) -> list[Row]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = _table(task.table, task.quality, task.cost, cache)
    if task.evaluations > table.sizes.prod(dtype=float) / 2:
        raise SpecError(f"{task.evaluations} evaluations are over half of {task.table}; take fewer")
    seed = derive(task.seed, "search", task.sampler) % 2**31
    searcher = make_searcher(task.sampler, table, task.workers, seed)
    run = Run(table, searcher, task.seed, task.workers)
    rows = []
    for count in run.search(task.evaluations):
        if count not in COUNTS and count != task.evaluations:
            continue
        front = run.front()
        shares = table.shares(front)
        name, quality, cost, sampler, *_ = task.key
        rows.append(
            Row(
                name,
                quality,
                cost,
                sampler,
                task.workers,
                task.seed,
                count,
                *shares,
                len(front),
                run.clock,
                run.repeats,
                run.seconds / count,
            )
        )
    return rows


# Many runs.


def tasks(given: argparse.Namespace) -> Iterator[Task]:
    """Seed by seed, so that an interrupted benchmark has something of each."""
    unknown = sorted(set(given.samplers) - set(PEERS))
    if unknown:
        raise SpecError(f"no sampler {unknown[0]!r}; there are {', '.join(PEERS)}")
    absent = [name for name in given.samplers if not installed(name)]
    if absent:
        package = PACKAGES[family(absent[0])]
        raise SpecError(f"sampler {absent[0]!r} needs a package; pip install {package}")
    pairs = [
        (path, quality, cost)
        for path in given.tables
        for quality in columns_of(path).seeds
        for cost in columns_of(path).costs
        if quality in (given.quality or [quality]) and cost in (given.cost or [cost])
    ]
    if not pairs:
        raise SpecError("no table has these columns; leave --quality and --cost away to see all")
    for seed in given.seeds:
        for workers in given.workers:
            for path, quality, cost in pairs:
                for sampler in given.samplers:
                    yield Task(path, quality, cost, sampler, workers, seed, given.evaluations)


def done(rows: Path) -> dict[tuple[str, ...], int]:
    """Of each run in the file its evaluations."""
    if not rows.exists():
        return {}
    with rows.open(newline="") as file:
        found = [(tuple(row[:6]), int(row[6])) for row in list(csv.reader(file))[1:]]
    return dict(sorted(found, key=lambda each: each[1]))


def append(path: Path, rows: Sequence[Row]) -> None:
    names = [each.name for each in fields(Row)]
    lines = [names] if not path.exists() else []
    lines += [
        [f"{value:.6g}" if isinstance(value, float) else str(value) for value in astuple(row)]
        for row in rows
    ]
    # One short write to a file that is open for appending is whole.
    with path.open("a") as file:
        file.write("".join(",".join(line) + "\n" for line in lines))


def run(given: argparse.Namespace) -> None:
    known = done(given.rows)
    left = [task for task in tasks(given) if known.get(task.key, 0) < task.evaluations]
    print(f"{len(left)} runs to do", flush=True)
    begun = time.monotonic()
    failed = 0
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        futures = {pool.submit(run_one, task, given.cache): task for task in left}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                task = futures[future]
                so_far = f"{time.monotonic() - begun:.0f} s so far"
                # Hours of other runs must not go with one that a library broke.
                if error := future.exception():
                    if isinstance(error, NasError):
                        raise error
                    failed += 1
                    text = f"failed, {type(error).__name__}: {error}"
                else:
                    rows = future.result()
                    append(given.rows, rows)
                    text = f"{rows[-1].share:.3f}, {rows[-1].ask_seconds:.3f} s an ask"
                print(f"{number}/{len(left)} {' '.join(task.key)}: {text}, {so_far}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        raise NasError(f"{failed} of {len(left)} runs failed; the same command runs them again")


# Reporting.

PAIR = ["table", "quality", "cost"]
SHARES = ("share", "share_far", "share_top")
KEY = [*PAIR, "sampler", "workers", "seed"]
SHOWN = (25, 50, 100, 200, 400)
# Okabe and Ito's colours, which the colour-blind tell apart; ours is the first.
COLOURS = ("#d55e00", "#7a7a7a", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
MARKERS = "os^Dv<>ph*X"


def read_rows(path: Path, shown: Sequence[int]) -> pd.DataFrame:
    if not path.exists():
        raise SpecError(f"no rows in {path}; begin with: python benchmarks/search_tables.py run")
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


def holm(values: Sequence[float]) -> list[float]:
    """P corrected for how many there are (Holm 1979); NaN stays and does not count."""
    found = np.array(values, dtype=np.float64)
    order = np.argsort(found)[: np.count_nonzero(~np.isnan(found))]
    factors = len(order) - np.arange(len(order))
    found[order] = np.minimum(np.maximum.accumulate(found[order] * factors), 1.0)
    return list(found)


def report(given: argparse.Namespace) -> None:
    rows = read_rows(given.rows, given.evaluations)
    names = [name for name in PEERS if name in set(rows["sampler"])]
    print_machine("attention-nas", "optuna", *PACKAGES.values())
    fewest = min(rows["workers"])
    alone = rows[rows["workers"] == fewest]
    several = rows.groupby(PAIR)["workers"].transform("nunique") > 1
    for label, mine in alone.groupby(PAIR, sort=False):
        print(f"\n{title(label)}: share of the true front's hypervolume\n")
        print_shares(mine, names, given.evaluations, given.reference)
        if given.against in set(mine["sampler"]):
            print(f"\nminus {given.against}, same seeds; p by Wilcoxon, corrected by Holm\n")
            print_differences(mine, names, given.evaluations, given.against, given.reference)
    if several.any():
        print_workers(rows[several], names, given.evaluations, given.reference)
    if given.picture is not None:
        chosen = best_of_families(alone, names, given.reference)
        draw_curves(alone, chosen, given.reference, given.picture)
        if several.any():
            path = given.picture.with_stem(given.picture.stem + "-workers")
            draw_workers(rows[several], chosen, given.evaluations, given.reference, path)


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


def draw_curves(rows: pd.DataFrame, names: Sequence[str], column: str, path: Path) -> None:
    """A panel per pair of columns: mean over seeds and its 95 % interval by evaluations."""
    groups = list(rows.groupby(PAIR, sort=False))
    figure, panels = panels_of(len(groups), "Share of the true front's hypervolume (95 % interval)")
    for axes, (label, mine) in zip(panels, groups, strict=True):
        for name in names:
            each = mine[mine["sampler"] == name].groupby("evaluations")[column]
            if not each.ngroups:
                continue
            means, widths = each.mean(), each.apply(half_width)
            style = style_of(name)
            axes.plot(means.index, means, label=name, markersize=4, **style)
            low, high = means - widths, means + widths
            axes.fill_between(means.index, low, high, color=style["color"], alpha=0.1, lw=0)
        axes.set_title(title(label), fontsize=10, loc="left", parse_math=False)
        counts = [count for count in (10, *SHOWN) if count <= mine["evaluations"].max()]
        axes.set_xscale("log")
        axes.set_xticks(counts, list(map(str, counts)))
        axes.set_xticks([], minor=True)
        seeds = mine.groupby("sampler")["seed"].nunique()
        fewer = "".join(f", {name} {count}" for name, count in seeds[seeds < seeds.max()].items())
        axes.set_xlabel(f"evaluations ({seeds.max()} seeds{fewer})", fontsize=9)
    finish(figure, panels, path)


def draw_workers(
    rows: pd.DataFrame, names: Sequence[str], counts: Sequence[int], column: str, path: Path
) -> None:
    """A panel per pair of columns: mean share after as many evaluations, by workers."""
    count = max(each for each in counts if each in set(rows["evaluations"]))
    rows = rows[rows["evaluations"] == count]
    groups = list(rows.groupby(PAIR, sort=False))
    figure, panels = panels_of(
        len(groups), f"Workers at once: share of the hypervolume after {count} evaluations"
    )
    for axes, (label, mine) in zip(panels, groups, strict=True):
        for name in names:
            each = mine[mine["sampler"] == name].groupby("workers")[column]
            if each.ngroups < 2:
                continue
            aside = 1.0 + 0.03 * (names.index(name) - len(names) / 2)
            axes.errorbar(
                each.mean().index * aside,
                each.mean(),
                yerr=each.apply(half_width),
                label=name,
                markersize=5,
                elinewidth=0.8,
                **style_of(name),
            )
        workers = sorted(set(mine["workers"]))
        axes.set_title(title(label), fontsize=10, loc="left", parse_math=False)
        axes.set_xscale("log")
        axes.set_xticks(workers, list(map(str, workers)))
        axes.set_xticks([], minor=True)
        axes.set_xlabel(f"workers ({mine['seed'].nunique()} seeds)", fontsize=9)
    finish(figure, panels, path)


def style_of(name: str) -> dict[str, Any]:
    """The same for all settings of a family, and in every picture."""
    number = list(dict.fromkeys(map(family, PEERS))).index(family(name))
    # Ours and random have colours of their own; the others share the rest, then again dashed.
    turn, place = divmod(number - 2, len(COLOURS) - 2) if number > 1 else (0, number - 2)
    return {
        "color": COLOURS[place + 2],
        "linestyle": DASHES[turn % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
        "linewidth": 2.4 if number == 0 else 1.3,
        "zorder": 3 if number == 0 else 2,
    }


def panels_of(count: int, heading: str) -> tuple[Figure, list[Axes]]:
    columns = min(3, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(max(4.4 * columns + 0.4, 7.0), 3.7 * lines + 1.2), dpi=130)
    FigureCanvasAgg(figure)
    figure.suptitle(heading, fontsize=12, fontweight="bold", x=0.012, ha="left")
    panels = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def finish(figure: Figure, panels: Sequence[Axes], path: Path) -> None:
    found: dict[str, Artist] = {}
    for axes in panels:
        # Intervals of few seeds are wide; the means are what a panel shows.
        means = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
        axes.set_ylim(max(0.0, means.min() - 0.05), min(1.02, means.max() + 0.05))
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        handles, labels = axes.get_legend_handles_labels()
        found |= {str(label): handle for label, handle in zip(labels, handles, strict=True)}
    inches = figure.get_size_inches()[1]
    columns = min(len(found), 3 * max(1, len(panels[:3])))
    lines = -(-len(found) // max(columns, 1))
    figure.legend(
        list(found.values()),
        list(found),
        loc="lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )
    figure.tight_layout(rect=(0, (0.1 + 0.23 * lines) / inches, 1, 1 - 0.05 / inches))
    with write_whole(path) as temporary:
        figure.savefig(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="search, and append rows")
    command.add_argument("tables", type=Path, nargs="+", metavar="TABLE")
    command.add_argument("--rows", type=Path, default=ROWS)
    command.add_argument(
        "--samplers",
        nargs="+",
        default=[name for name in PEERS if installed(name)],
        metavar="NAME",
        help=f"all that are installed, of {', '.join(PEERS)}",
    )
    command.add_argument("--quality", nargs="+", metavar="COLUMN")
    command.add_argument("--cost", nargs="+", metavar="COLUMN")
    command.add_argument("--seeds", type=seeds, default=range(20), help="20, or 20-39")
    command.add_argument("--evaluations", type=int, default=400)
    command.add_argument("--workers", type=int, nargs="+", default=[1])
    command.add_argument("--jobs", type=int, default=1, help="processes")
    command.add_argument("--cache", type=Path, help="folder for the fronts of surrogates")
    command.set_defaults(command=run)
    command = commands.add_parser("report", help="print what the rows say, and draw it")
    command.add_argument("--rows", type=Path, default=ROWS)
    command.add_argument("--evaluations", type=int, nargs="+", default=list(SHOWN))
    command.add_argument("--against", default="pareto", metavar="NAME")
    command.add_argument("--reference", choices=SHARES, default=SHARES[0])
    command.add_argument("--picture", type=Path, help="curves, and beside it those of workers")
    command.set_defaults(command=report)
    given = parser.parse_args()
    # Processes that are started read it before they import numpy or torch.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        given.command(given)
    except SpecError as error:
        parser.error(str(error))
    except NasError as error:
        sys.exit(str(error))


def seeds(text: str) -> range:
    first, _, last = text.rpartition("-")
    return range(int(first), int(last) + 1) if first else range(int(last))


if __name__ == "__main__":
    main()
