"""What a search that sees noise finds on accuracy tables, by which of its networks it shows.

    python -m benchmarks.belief.tables run TABLE --cost COST --rows OUT.jsonl [--quality acc]
        [--samplers pareto random] [--noise 1] [--seeds 10] [--evaluations 50 100 200]
    python -m benchmarks.belief.tables report OUT.jsonl ...

TABLE: a CSV file as in `benchmarks/search/table_files.py`. Every training shows a network's loss
with normal noise, `--noise` times the standard deviation of the losses of the table. Shown are the
networks that are not dominated by latency and by

seen: the loss that was seen of each, once;
confirmed: its mean, where two fifths of the trainings went to further seeds of what looked best, as
    searches confirmed their fronts;
believed: the mean of the belief that all trainings inform.

Each is worth the hypervolume of true values, as a share of the true front's. Rows are appended as
runs end; what is stopped goes on. `--seen-alone` needs no belief, so that this file runs in
versions of before it, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.search.peers import PEERS, make_searcher
from benchmarks.search.sampler_runs import Run
from benchmarks.search.table import Floats, Table, Whole
from benchmarks.search.table_files import load_table
from nas.base.seeds import derive
from nas.study.front.pareto import non_dominated

SHARE_CONFIRMED, CONFIRMED = 0.4, 3
SAMPLED = 2000
Codes = tuple[int, ...]


class NoisyRun(Run):
    """A sampler at work on a table of which each training shows something else."""

    noise = 0.0

    def _observe(self, codes: Codes) -> tuple[float, float]:
        return self.train(codes, 0), float(self.table.cost_of(np.array([codes]))[0])

    def train(self, codes: Codes, repeat: int) -> float:
        """Return the loss that a training of a network shows."""
        rng = np.random.default_rng(derive(self.seed, "noise", repeat, *codes))
        true = float(self.table.losses(np.array([codes])).mean())
        return true + self.noise * float(rng.standard_normal())

    def usable(self) -> tuple[Whole, Floats]:
        """Return the networks (n, D) that a front may have, and what was seen of them (n, 2)."""
        codes = np.array(list(self.seen))
        kept = self.table.usable(codes)
        return codes[kept], np.array(list(self.seen.values()))[kept]

    def confirmed(self, trainings: int) -> tuple[Whole, Floats]:
        """Return the networks and their means, after so many trainings of what looks best."""
        codes, figures = self.usable()
        counts = np.ones(len(codes), dtype=np.int64)
        while trainings > 0:
            wanted = non_dominated(figures) & (counts < CONFIRMED)
            if not wanted.any():
                break
            row = int(np.flatnonzero(wanted)[0])
            new = self.train(tuple(map(int, codes[row])), int(counts[row]))
            figures[row, 0] += (new - figures[row, 0]) / (counts[row] + 1)
            counts[row] += 1
            trainings -= 1
        # What was seen once is no match for what was confirmed.
        kept = counts >= CONFIRMED
        return (codes[kept], figures[kept]) if kept.any() else (codes, figures)

    def believed(self) -> tuple[Whole, Floats]:
        """Return the networks with the loss that a belief expects of each, and their costs."""
        from benchmarks.search.peers import known_of
        from nas.belief.belief import Belief
        from nas.belief.evidence import Evidence
        from nas.strategy.samplers.pareto.free_figures import known_points

        grid, seen = _grid(self.table), np.array(list(self.seen))
        losses = np.array(list(self.seen.values()))[:, 0]
        count = len(seen)
        evidence = Evidence(
            seen,
            ["full"] * count,
            np.ones(count),
            np.arange(count),
            np.arange(count),
            losses,
            np.full(count, np.nan),
        )
        rng = np.random.default_rng(0)
        space = known_points(grid, known_of(self.table), grid.random(1000, rng))
        belief = Belief.fit(space, evidence, target_images=1.0)
        codes, figures = self.usable()
        return codes, np.stack([-belief.gain(codes).mean, figures[:, 1]], axis=1)


def _grid(table: Table) -> Any:
    from nas.belief.grid import Grid

    return Grid(
        {
            name: choices if isinstance(choices[0], str) else tuple(range(len(choices)))
            for name, choices in table.parameters.items()
        }
    )


def share(table: Table, codes: Whole, figures: Floats) -> float:
    """Return what the networks that look non-dominated are truly worth."""
    if not len(codes):
        return 0.0
    return table.shares(table.truth(codes[non_dominated(figures)]))[0]


def run(arguments: argparse.Namespace) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = load_table(arguments.table, arguments.quality, arguments.cost)
    rng = np.random.default_rng(0)
    sample = rng.integers(0, table.sizes, (SAMPLED, len(table.sizes)))
    spread = float(table.losses(sample[table.usable(sample)]).mean(axis=1).std())
    rows = _rows(arguments.rows)
    for seed in range(arguments.seeds):
        for sampler in arguments.samplers:
            key = {
                "table": table.name,
                "quality": table.quality,
                "cost": table.cost,
                "sampler": sampler,
                "noise": arguments.noise,
                "seed": seed,
                "version": arguments.version,
            }
            if any(key.items() <= row.items() for row in rows):
                continue
            found = dict(_run(table, sampler, seed, arguments, arguments.noise * spread))
            with arguments.rows.open("a") as file:
                file.write(json.dumps(key | {"shares": found}) + "\n")
            print(sampler, seed, found, flush=True)


def _run(
    table: Table, sampler: str, seed: int, arguments: argparse.Namespace, noise: float
) -> Iterator[tuple[str, float]]:
    searcher = make_searcher(sampler, table, 1, derive(seed, "search", sampler) % 2**31)
    going = NoisyRun(table, searcher, seed)
    going.noise = noise
    counts: list[int] = arguments.evaluations
    fewer = {round((1 - SHARE_CONFIRMED) * count): count for count in counts}
    for evaluated in going.search(max(counts)):
        if evaluated in counts:
            yield f"seen {evaluated}", share(table, *going.usable())
            if not arguments.seen_alone and sampler == "pareto":
                yield f"believed {evaluated}", share(table, *going.believed())
        if evaluated in fewer:
            left = fewer[evaluated] - evaluated
            yield f"confirmed {fewer[evaluated]}", share(table, *going.confirmed(left))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(arguments: argparse.Namespace) -> None:
    rows = [row for path in arguments.rows for row in _rows(path)]
    tasks = dict.fromkeys((row["table"], row["cost"], row["noise"]) for row in rows)
    for task in tasks:
        mine = [row for row in rows if (row["table"], row["cost"], row["noise"]) == task]
        print(f"\n{task[0]}, {task[1]}, noise {task[2]:g} of the spread\n")
        _print_table(mine)


def _print_table(rows: list[dict[str, Any]]) -> None:
    counts = sorted({int(name.split()[1]) for row in rows for name in row["shares"]})
    print("| way | " + " | ".join(map(str, counts)) + " | seeds |")
    print("| --- |" + " --- |" * (len(counts) + 1))
    for sampler, version in dict.fromkeys((row["sampler"], row["version"]) for row in rows):
        mine = [row for row in rows if (row["sampler"], row["version"]) == (sampler, version)]
        for way in ("seen", "confirmed", "believed"):
            cells = [
                _cell([row["shares"].get(f"{way} {count}") for row in mine]) for count in counts
            ]
            if any(cells):
                name = f"{sampler}{f' ({version})' if version else ''}, {way}"
                print(f"| {name} | " + " | ".join(cells) + f" | {len(mine)} |")


def _cell(values: list[float | None]) -> str:
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return ""
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else 0.0
    return f"{known.mean():.3f} ± {error:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("table", type=Path)
    running.add_argument("--quality", default="acc")
    running.add_argument("--cost", required=True)
    running.add_argument("--rows", type=Path, required=True)
    running.add_argument("--samplers", choices=tuple(PEERS), nargs="+", default=["pareto"])
    running.add_argument("--noise", type=float, default=1.0)
    running.add_argument("--seeds", type=int, default=10)
    running.add_argument("--evaluations", type=int, nargs="+", default=[50, 100, 200])
    running.add_argument("--version", default="", help="of the program, where it is another")
    running.add_argument("--seen-alone", action="store_true")
    running.set_defaults(run=run)
    printing = commands.add_parser("report")
    printing.add_argument("rows", type=Path, nargs="+")
    printing.set_defaults(run=report)
    arguments = parser.parse_args()
    command: Callable[[argparse.Namespace], None] = arguments.run
    command(arguments)


if __name__ == "__main__":
    main()
