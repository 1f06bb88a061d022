"""Runs of samplers on tables, and the file of rows that they leave."""

from __future__ import annotations

import argparse
import csv
import heapq
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, field, fields
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import optuna

from benchmarks.search.peers import PACKAGES, PEERS, family, installed, make_searcher
from benchmarks.search.searcher import Codes, Searcher
from benchmarks.search.table import Floats, Table
from benchmarks.search.table_files import columns_of, load_table
from nas.base.errors import NasError, SpecError
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
