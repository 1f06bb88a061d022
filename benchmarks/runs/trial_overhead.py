"""What a trial costs besides its training.

First from a finished run: how long its complete trials took, how much of that was training, and
what was left over. Then the parts of one trial, timed here one after another for one network of
that run: thread CPU time and wall time, medians of several repeats. Nothing is written into the
run folder: checkpoint and study go to a temporary one.

Run: python -m benchmarks.runs.trial_overhead runs/demo
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution
from torch import nn

from benchmarks.shared.report import print_machine, print_table
from nas.latency.measure import Anchor, Subject, measure_anchor, measure_together
from nas.latency.runtime import load_onnx, to_onnx
from nas.models.build import build, deploy
from nas.models.candidates import Candidates
from nas.models.cost import cost_of_module
from nas.runs.run import Run, open_run
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.task import Task
from nas.strategy.storage.store import Store
from nas.study.record import COMPLETE, Job, Record
from nas.training.candidate_checkpoint import save_trained
from nas.training.loop import evaluate

CPU = torch.device("cpu")

Part = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """The network whose parts are timed, and the run it is of."""

    run: Run
    trial: int
    architecture: Architecture
    num_classes: int

    def network(self) -> nn.Module:
        return build(self.architecture, num_classes=self.num_classes, start="identity")

    def shipped(self) -> nn.Module:
        return deploy(self.network(), self.architecture)


# What the run says.


def trial_rows(run: Run) -> list[list[str]]:
    trials = run.trials()
    whole = trials["seconds"][trials.complete]
    training = trials["train_seconds"][trials.complete]
    overhead = whole - training
    named = (("a trial", whole), ("its training", training), ("the rest", overhead))
    return [
        [
            name,
            f"{np.median(values):.3f}",
            f"{np.quantile(values, 0.1):.3f} to {np.quantile(values, 0.9):.3f}",
            f"{np.median(values / whole):.1%}",
        ]
        for name, values in named
    ]


def case_of(run: Run, trial: int | None) -> Case:
    """A trial by its number; else the complete one of most insertions."""
    if trial is None:
        trials = run.trials()
        complete = np.flatnonzero(trials.complete)
        sites = [text.count('"site"') for text in trials["architecture"][complete]]
        trial = int(complete[np.argmax(sites)])
    architecture = Architecture.from_json(run.row(trial)["architecture"])
    return Case(run, trial, architecture, len(run.environment()["data"]["classes"]))


# The parts.


def parts(case: Case, scratch: Path) -> dict[str, Part]:
    data, task = case.run.dataset(), Task(outputs=case.num_classes)
    network, shipped = case.network(), case.shipped()
    shape = case.architecture.size.shape
    graph = to_onnx(shipped, shape)
    subject = Subject(load_onnx(graph), (1, *shape))
    plain = build(case.architecture.plain, num_classes=case.num_classes)
    beside = Subject(load_onnx(to_onnx(plain, shape)), (1, *shape))
    anchor = Anchor(beside, measure_anchor(beside))
    return {
        "build": case.network,
        "build and deploy": case.shipped,
        "cost (fvcore)": lambda: cost_of_module(network, torch.zeros(1, *shape)),
        "to_onnx": lambda: to_onnx(shipped, shape),
        "load_onnx": lambda: load_onnx(graph),
        "measure_together": lambda: measure_together({"": subject}, anchor, seed=0),
        f"evaluate on {len(data.validation):,} images": lambda: evaluate(
            network, data, task, device=CPU
        ),
        "save the checkpoint": saving(case, network, scratch),
        "Store.start and finish": storing(case, scratch),
    }


def saving(case: Case, network: nn.Module, scratch: Path) -> Part:
    path, kind = scratch / "trained.safetensors", case.run.file.proxy.kind
    return lambda: save_trained(path, network, case.architecture, kind)


def storing(case: Case, scratch: Path) -> Part:
    """A trial's life in the study, with the parameters that the run's space gives it."""
    objectives = objectives_named(case.run.file.search.objectives)
    store = Store.create(scratch / "study.journal", objectives)
    candidates = Candidates(case.run.space)
    values = candidates.values(case.architecture) or {}
    choices = candidates.parameters_given(values) if values else {}
    distributions = {name: CategoricalDistribution(labels) for name, labels in choices.items()}
    row = case.run.row(case.trial)
    numbers = itertools.count()

    def one_trial() -> None:
        job = job_of(row, next(numbers))
        store.start(job, values, distributions, {})
        record = Record.from_dict(row | {"trial": job.trial})
        store.finish(record, [float(row[item.name]) for item in objectives])

    return one_trial


def job_of(row: dict[str, Any], trial: int) -> Job:
    return Job(trial, row["architecture"], row["digest"], row["seed"])


def part_rows(named: dict[str, Part], repeats: int) -> Iterator[list[str]]:
    for name, part in named.items():
        cpu, wall = milliseconds(part, repeats)
        yield [name, f"{cpu:.2f}", f"{wall:.2f}"]


def milliseconds(part: Part, repeats: int) -> tuple[float, float]:
    """Thread CPU time and wall time, medians after one run that warms up."""
    part()
    cpu, wall = [], []
    for _ in range(repeats):
        wall_start, cpu_start = time.perf_counter_ns(), time.thread_time_ns()
        part()
        cpu.append((time.thread_time_ns() - cpu_start) / 1e6)
        wall.append((time.perf_counter_ns() - wall_start) / 1e6)
    return median(cpu), median(wall)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--trial", type=int, help="default: the one of most insertions")
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    run = open_run(given.run)
    torch.set_num_threads(run.file.proxy.threads)
    complete = int(np.count_nonzero(run.trials().complete))
    case = case_of(run, given.trial)
    print_machine("torch", "onnxruntime", "optuna")
    kind, data = run.file.proxy.kind, run.file.data
    print(f"{run.space.name} on {data}, {kind}: {complete} {COMPLETE} trials\n")
    print_table(("", "median s", "10 to 90 %", "share"), trial_rows(run))
    blocks = len(case.architecture.blocks)
    print(f"\nparts of trial {case.trial}: {case.architecture.backbone} with {blocks} blocks\n")
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(part_rows(parts(case, Path(scratch)), given.repeats))
    print_table(("part", "CPU ms", "wall ms"), rows)


if __name__ == "__main__":
    main()
