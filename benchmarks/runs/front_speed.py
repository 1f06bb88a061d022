"""How long `nas front RUN --json` takes, from its start to its end.

Makes finished run folders in a temporary place: one with 100 trials, which shows what starting
costs, one with 100,000 and one with a million (whose networks are those of the second, each ten
times under another digest and with other figures). Their records are invented, but shaped as a
search leaves them: some 16 insertions each, a loss that falls as the latency rises, references
and front with three seeds, one failure in a hundred. The command runs as a process of its own;
each figure is the median of several runs, after one that warms the disk's cache. CPU: user and
system time. Asked are the front, the front by three objectives, and the front of what an
expression leaves.

Run: python -m benchmarks.runs.front_speed
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.shared.report import print_machine, print_table
from nas.base.files import dump_yaml
from nas.base.machine import describe_environment
from nas.runs.run_file import RunFile
from nas.spec.architecture import PLAIN, Architecture, Insertion
from nas.spec.space import SearchSpace
from nas.study.record import Evaluation, Job, Outcome, Record
from nas.study.trials import Trials

FEW, MANY, COPIES = 100, 100_000, 10
QUESTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("--by", "loss,latency_ms,params"),
    ("--where", "latency_ms < 12 and params < 3.8e6 and sites('coord', stage='blocks.3') <= 2"),
)
SEEDS = (1240092145, 1655355667, 676128842)
BACKBONE = "mobilenetv2_100"
IMAGES = 50_000  # to train on
# The inverted residuals of MobileNetV2 by stage, without the first one.
SITES = [
    f"blocks.{stage}.{number}/after_depthwise"
    for stage, length in enumerate((2, 3, 4, 3, 3, 1), start=1)
    for number in range(length)
]
LABELS = {
    **{f"se/r{reduction}": 0.10 for reduction in (8, 16, 24, 32)},
    **{f"cbam/r{reduction}/k{size}": 0.22 for reduction in (8, 16, 24, 32) for size in (3, 7)},
    **{f"coord/r{reduction}": 0.30 for reduction in (8, 16, 32)},
    "eca": 0.07,
}
"""Block -> what one of it costs, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one run of the command."""

    wall: float
    cpu: float


# Invented trials.


def records(count: int) -> list[Record]:
    rng = random.Random(0)
    found: list[Record] = []
    for name, architecture in itertools.chain(references(), proposals(rng)):
        repeats = len(SEEDS) if name or len(found) % 500 < 3 else 1
        network = rng.gauss(0.0, 0.004)
        for repeat in range(repeats):
            if len(found) == count:
                return found
            job = Job(
                trial=len(found),
                architecture=architecture.to_json(),
                digest=architecture.digest,
                seed=SEEDS[repeat],
                reference=name,
                repeat=repeat,
            )
            found.append(Record.of(job, outcome(architecture, network, rng), finished="2026-01-01"))
    raise AssertionError("proposals never end")


def references() -> Iterator[tuple[str | None, Architecture]]:
    yield PLAIN, Architecture(BACKBONE)
    for label in ("se/r16", "cbam/r16/k7", "coord/r32", "eca"):
        yield label, Architecture(BACKBONE, 224, tuple(Insertion.of(site, label) for site in SITES))


def proposals(rng: random.Random) -> Iterator[tuple[str | None, Architecture]]:
    labels = list(LABELS)
    seen: set[str] = set()
    while True:
        insertions = tuple(Insertion.of(site, rng.choice(labels)) for site in SITES)
        few = insertions if rng.random() < 0.9 else insertions[: rng.randrange(len(SITES))]
        architecture = Architecture(BACKBONE, 224, few)
        if architecture.digest not in seen:
            seen.add(architecture.digest)
            yield None, architecture


def outcome(architecture: Architecture, network: float, rng: random.Random) -> Outcome:
    """network: what this network is better or worse than others of its latency."""
    if rng.random() < 0.01 and architecture.insertions:
        return Outcome(failure="training diverged: the loss is nan at step 17")
    latency_ms = 9.0 + sum(LABELS[item.label] for item in architecture.insertions)
    loss = 0.7 + 0.5 / latency_ms + network + rng.gauss(0.0, 0.001)
    evaluation = Evaluation(
        loss=loss,
        accuracy=1.0 - 0.35 * loss,
        loss_sem=0.002,
        latency_ms=latency_ms * rng.gauss(1.0, 0.005),
        latency_wall_ms=latency_ms * 1.02,
        latency_spread=0.004,
        params=3_500_000 + 20_000 * len(architecture.insertions),
        macs=300_000_000 + 100_000 * len(architecture.insertions),
        images=10_000,
        seconds=42.0,
        train_seconds=39.0,
    )
    return Outcome(evaluation)


# The run folder.


def copied(trials: Trials, copies: int) -> Trials:
    rng = np.random.default_rng(0)
    columns = {name: np.tile(values, copies) for name, values in trials.columns.items()}
    count = len(columns["trial"])
    columns["trial"] = np.arange(count)
    later = np.repeat(np.arange(copies), len(trials)) > 0
    columns["reference"][later] = None
    columns["digest"] = np.array(
        [f"{row // len(trials):x}{digest[1:]}" for row, digest in enumerate(columns["digest"])],
        dtype=object,
    )
    for name in ("loss", "latency_ms"):
        columns[name] = columns[name] * rng.normal(1.0, 0.002, count)
    return Trials(columns)


def make_run(path: Path, trials: Trials) -> None:
    path.mkdir()
    blocks = {"se": {"reduction": [8, 16]}, "coord": {"reduction": [8, 16, 32]}, "eca": {}}
    space = SearchSpace.model_validate(
        {"name": "mobilenetv2", "backbones": [BACKBONE], "blocks": blocks}
    )
    (path / "space.yaml").write_text(dump_yaml(space))
    file = RunFile(data="folder:images")
    file = file.model_copy(update={"proxy": file.proxy.settled(IMAGES)})
    (path / "run.yaml").write_text(dump_yaml(file))
    about = describe_environment({"key": "0" * 16, "classes": [str(label) for label in range(10)]})
    (path / "environment.json").write_text(json.dumps(about))
    # Of the study only its size is read, as long as trials.parquet shows it as it is.
    size = 2_000 * len(trials)
    with (path / "study.journal").open("wb") as journal:
        journal.truncate(size)
    trials.write(path / "trials.parquet", stamp=str(size))


def with_final(rows: list[Record]) -> list[Record]:
    """References were measured once more when the run had ended."""
    return [
        replace(row, final_latency_ms=row.latency_ms, final_latency_spread=0.002)
        if row.reference
        else row
        for row in rows
    ]


# Measuring.


def run_once(path: Path, asked: tuple[str, ...]) -> tuple[Cost, int]:
    """What one run of the command took, and how many points it printed."""
    command = [sys.executable, "-m", "nas", "front", str(path), "--json", *asked]
    cpu, wall = children_seconds(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ)
    found = Cost(time.perf_counter() - wall, children_seconds() - cpu)
    return found, len(json.loads(done.stdout))


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def row_for(path: Path, asked: tuple[str, ...], trials: int, runs: int, aim: float) -> list[str]:
    run_once(path, asked)
    costs, points = zip(*(run_once(path, asked) for _ in range(runs)), strict=True)
    walls = [cost.wall for cost in costs]
    return [
        f"{trials:,}",
        asked[0] if asked else "",
        str(points[0]),
        f"{median(walls):.2f}",
        f"{min(walls):.2f} to {max(walls):.2f}",
        f"{median(cost.cpu for cost in costs):.2f}",
        f"{aim:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="make the run folders here, and leave them")
    given = parser.parse_args()
    many = Trials.of(with_final(records(MANY)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        table = []
        few = Trials({name: values[:FEW] for name, values in many.columns.items()})
        for trials, aim in ((few, 0.7), (many, 2.0), (copied(many, COPIES), 10.0)):
            path = folder / f"run-{len(trials)}"
            make_run(path, trials)
            for asked in QUESTIONS:
                table.append(row_for(path, asked, len(trials), given.runs, aim))
    print_machine("attention-nas", "pyarrow", "numpy")
    print(f"nas front RUN --json, {given.runs} runs each\n")
    print_table(("trials", "asked", "points", "wall s", "range", "CPU s", "aim s"), table)


if __name__ == "__main__":
    main()
