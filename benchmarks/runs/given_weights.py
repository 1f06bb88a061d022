"""Trained networks of timm and torchvision, given by `--weights`, searched, exported and verified.

    python -m benchmarks.runs.given_weights run [--networks 50] [--seed 0] [--limit 1200]
    python -m benchmarks.runs.given_weights report

Networks are drawn by a seed from all names; those without sites, and of 30 M parameters or more,
are left out. Each is trained briefly, and then goes the way of `network_way.py` in a process of
its own. Rows are in `benchmarks/runs/given_weights.jsonl`, one of each network; what is stopped
goes on behind its last row. `report` prints them as a table, and ends with code 1 where there is a
fault.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.fidelity.trainings import append, rows_of
from benchmarks.runs.network_way import FAULT, HELD, LEFT_OUT, REFUSED, Row
from benchmarks.shared.command import carry_out
from benchmarks.shared.report import print_machine, print_table
from nas.backbones import shapes, timm_networks, torchvision_networks

__all__ = ["drawn", "read_rows"]

ROWS = Path(__file__).with_suffix(".jsonl")
UNFINISHED = "unfinished"
_MOST_PARAMS = 30_000_000
_children: set[subprocess.Popen[bytes]] = set()
_OUTCOMES = (HELD, REFUSED, FAULT, UNFINISHED, LEFT_OUT)


def drawn(seed: int) -> Iterator[tuple[int, str]]:
    """Yield the networks of timm and torchvision, with their place, as a seed orders them."""
    names = sorted([*timm_networks.names(), *torchvision_networks.names()])
    random.Random(seed).shuffle(names)
    yield from enumerate(names)


def read_rows(path: Path) -> list[Row]:
    """Read rows; none where there is no file yet."""
    if not path.exists():
        return []
    return [Row.of(values) for values in rows_of(path)]


def run(arguments: argparse.Namespace) -> None:
    """Add rows until so many networks have gone the way."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = read_rows(arguments.rows)
    done = {row.name for row in rows}
    gone = sum(row.outcome != LEFT_OUT for row in rows)
    waiting = ((number, name) for number, name in drawn(arguments.seed) if name not in done)
    going: set[Future[Row]] = set()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            while True:
                while len(going) < arguments.jobs and gone + len(going) < arguments.networks:
                    number, name = next(waiting)
                    going.add(pool.submit(_timed, name, number, arguments.limit))
                if not going:
                    return
                ended, going = wait(going, return_when=FIRST_COMPLETED)
                for row in (future.result() for future in ended):
                    append(arguments.rows, asdict(row))
                    gone += row.outcome != LEFT_OUT
                    print(
                        f"{gone:3} {row.outcome:10} {row.name} {row.stage} {row.reason}", flush=True
                    )
        finally:
            for child in list(_children):
                os.killpg(child.pid, signal.SIGKILL)
            signal.signal(signal.SIGTERM, before)


def _timed(name: str, number: int, limit: float) -> Row:
    began = time.monotonic()
    row = _too_large(name, number) or _go(name, number, limit)
    return replace(row, seconds=round(time.monotonic() - began, 1))


def _too_large(name: str, number: int) -> Row | None:
    """Return the row of a network that is too large to take part."""
    try:
        params = sum(shape.numel() for shape in shapes(name))
    except Exception:  # some cannot be made without memory; the way itself shows what is wrong
        return None
    if params < _MOST_PARAMS:
        return None
    reason = f"{params / 1e6:.1f} M parameters"
    return Row(name, number, LEFT_OUT, "parameters", reason, params=params)


def _go(name: str, number: int, limit: float) -> Row:
    """Send a network on its way in a process of its own, whose end is a row and no more."""
    with tempfile.TemporaryDirectory(prefix="given-") as folder:
        command = [sys.executable, "-m", "benchmarks.runs.network_way", name, str(number), folder]
        log = Path(folder, "log")
        with log.open("w") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
            _children.add(child)
            try:
                code = child.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return Row(name, number, UNFINISHED, "", f"after {limit:.0f} s")
            finally:
                _children.discard(child)
        if rows := read_rows(Path(folder, "row.json")):
            return rows[0]
        lines = [line for line in log.read_text().splitlines() if line.strip()]
        return Row(name, number, FAULT, "", f"exit code {code}: {lines[-1] if lines else ''}")


def report(arguments: argparse.Namespace) -> None:
    """Print the rows."""
    rows = read_rows(arguments.rows)
    print_machine("torch", "timm", "torchvision", "onnxruntime")
    gone = [row for row in rows if row.outcome != LEFT_OUT]
    print_table(
        ("network", "side", "sites", "all", "M", "given", "said", "start", "fold", "graph")
        + ("trial", "pack", "s", "outcome"),
        [_cells(row) for row in gone],
    )
    counts = Counter(row.outcome for row in rows)
    print(", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES))
    for what, values in _most(gone).items():
        print(f"{what}: at most {max(values):.1e} ({len(values)} networks)")
    for row in gone:
        if row.outcome != HELD or row.failed:
            print(f"{row.name}: {row.stage}: {row.reason} {'; '.join(row.failed)}")
    sys.exit(1 if counts[FAULT] else 0)


def _most(rows: list[Row]) -> dict[str, list[float]]:
    """Return what was compared of the networks, each as a difference."""
    pairs: dict[str, list[tuple[float | None, float | None]]] = {
        "accuracy said from measured": [(row.said_accuracy, row.accuracy) for row in rows],
        "loss said from measured": [(row.said_loss, row.loss) for row in rows],
        "blocks that start as identities": [(row.start, 0.0) for row in rows],
        "folding": [(row.fold, 0.0) for row in rows],
        "graph from the network as trained": [(row.graph, 0.0) for row in rows],
        "accuracy in the pack from the trial's": [
            (row.pack_accuracy, row.trial_accuracy) for row in rows
        ],
    }
    return {
        what: [abs(one - other) for one, other in each if one is not None and other is not None]
        or [0.0]
        for what, each in pairs.items()
    }


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        *(str(number) for number in (row.side, row.sites, row.everywhere)),
        f"{row.params / 1e6:.1f}",
        *map(_percent, (row.accuracy, row.said_accuracy)),
        *("" if value is None else f"{value:.0e}" for value in (row.start, row.fold, row.graph)),
        *map(_percent, (row.trial_accuracy, row.pack_accuracy)),
        f"{row.seconds:.0f}",
        row.outcome,
    ]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("--networks", type=int, default=50)
    running.add_argument("--seed", type=int, default=0)
    running.add_argument("--jobs", type=int, default=1, help="Networks side by side.")
    running.add_argument("--limit", type=float, default=1200, help="Seconds for one network.")
    running.set_defaults(run=run)
    reporting = commands.add_parser("report")
    reporting.set_defaults(run=report)
    for each in (running, reporting):
        each.add_argument("--rows", type=Path, default=ROWS)
    carry_out(parser)


if __name__ == "__main__":
    main()
