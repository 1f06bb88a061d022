"""Which learning rate a task starts with: the plain network at a few of them, on embedded images.

    python -m benchmarks.tasks.rates [--tasks TASK ...] [--rates RATE ...] [--seeds 2]

Each training is as long, as warmed up and in such batches as a search's usual one: five epochs of
the scenes of digits at 32 px, MobileNetV2 x0.35 from random weights. Figures are of the scenes to
validate on. Attention is in none of them, so that no block is favoured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from statistics import fmean

import torch

from benchmarks.shared.command import carry_out
from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import TrainingError
from nas.data import Dataset, Reading, cached_data, open_data
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.runner import Runner
from nas.spec.task import TASKS, Task, TaskName
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe, steps_in
from nas.training.tasks import Score

CPU, EPOCHS = torch.device("cpu"), 5.0
PLAIN = Architecture("mobilenetv2_035", "32", total_stride=16)
HEADS: Mapping[TaskName, tuple[str, ...]] = {
    "segmentation": ("lraspp",),
    "retrieval": ("embedding",),
    "detection": ("ssdlite", "fcos"),
}


def trained(data: Dataset, task: Task, rate: float, seed: int) -> Score | None:
    """Return how the plain network is judged; None where its training diverged."""
    proxy = Runner.model_validate({"task": task.name}).proxy
    network = build(PLAIN, task=task, seed=seed)
    steps = steps_in(EPOCHS, len(data.train), proxy.batch_size)
    recipe = Recipe(steps, proxy.batch_size, rate, warm_up=1 / 3)
    training = Training(
        network, data, task, recipe, parameters=network.parameters(), seed=seed, device=CPU
    )
    try:
        training.run()
        score = evaluate(network, data, task, device=CPU)
        training.check(score)
    except TrainingError:
        return None
    return score


def rows(task: TaskName, head: str, rates: list[float], seeds: int) -> list[list[str]]:
    """Return a row for each rate."""
    kind = TASKS[task]
    reading = Reading(kind.resize, annotated=kind.annotated)
    data = open_data(cached_data("digits", "32", validation=0.2, seed=0, reading=reading))
    of_head = Task.of(task, len(data.classes), head)
    shown = []
    for rate in rates:
        started = time.process_time()
        scores = [trained(data, of_head, rate, seed) for seed in range(seeds)]
        spent = (time.process_time() - started) / seeds
        figures = [0.0 if one is None else 100 * one.accuracy for one in scores]
        losses = ["diverged" if one is None else f"{one.loss:.3f}" for one in scores]
        each = ", ".join(f"{figure:.1f}" for figure in figures)
        cells = [f"{fmean(figures):.1f}", each, ", ".join(losses), f"{spent:.0f}"]
        shown.append([task, head, f"{rate:g}", kind.figures[0].title, *cells])
    return shown


def main() -> None:
    """Carry out what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--rates", nargs="+", type=float, default=[0.0125, 0.02, 0.05, 0.1])
    parser.add_argument("--seeds", type=int, default=2)
    parser.set_defaults(run=_run)
    carry_out(parser)


def _run(given: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    print_machine("torch", "torchvision")
    found = [
        row
        for task in given.tasks
        for head in HEADS[task]
        for row in rows(task, head, given.rates, given.seeds)
    ]
    print_table(("task", "head", "rate", "figure", "mean, %", "by seed", "loss", "CPU s"), found)


if __name__ == "__main__":
    main()
