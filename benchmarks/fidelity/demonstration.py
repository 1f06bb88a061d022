"""Whether attention pays on `--data cluttered-digits`, by seeds that nothing was chosen with.

    python -m benchmarks.fidelity.demonstration run OUT.jsonl [--seeds 4]
    python -m benchmarks.fidelity.demonstration table OUT.jsonl

Five networks, plain ones and hand-placed ones, are trained from scratch at equal conditions: those
of `make search`. Each training is judged on the validation and, once, on the test canvases, and has
a seed of its own. Each is a row as it ends; what is stopped goes on. The canvases and the recipe
were settled before by the seeds 100 to 102, on two networks and the validation canvases alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.fidelity.trainings import append, rows_of
from benchmarks.shared.report import print_machine, print_table
from nas.base.seeds import derive
from nas.belief.gain_curve import CurveRow, gain_curves
from nas.data import Dataset, load_data, open_test
from nas.models.build import build, uniform
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.task import Task
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe, steps_in

BACKBONE, RESOLUTION, SOURCE = "mobilenetv2_cifar", 16, "cluttered-digits"
EPOCHS, BATCH, RATE, WARM_UP = 5.0, 32, 0.075, 0.2
EARLY = 3  # of seven sites: those at the full and the half of the side
_CPU = torch.device("cpu")


def networks() -> Mapping[str, Architecture]:
    """Return the networks by name."""
    found = {PLAIN: uniform(BACKBONE, "keep", resolution=RESOLUTION)}
    for kind in ("coord", "se"):
        everywhere = uniform(
            BACKBONE, kind, resolution=RESOLUTION, position="after_depthwise", reduction=8
        )
        found[f"{kind} everywhere"] = everywhere
        if kind == "coord":
            blocks = everywhere.insertions
            found["coord early"] = replace(everywhere, insertions=blocks[:EARLY])
            found["coord late"] = replace(everywhere, insertions=blocks[EARLY:])
    return found


@cache
def _images() -> Dataset:
    return load_data(SOURCE, RESOLUTION, validation=0.2, seed=0)


def _row(name: str, repeat: int) -> dict[str, Any]:
    """Train one network and judge it."""
    seed = derive(0, "demonstration", name, repeat) % 2**31
    data, task = _images(), Task(outputs=10)
    network = build(networks()[name], num_classes=10, seed=seed)
    recipe = Recipe(
        length=steps_in(EPOCHS, len(data.train), BATCH),
        batch_size=BATCH,
        learning_rate=RATE,
        warm_up=WARM_UP,
    )
    begun = time.process_time()
    training = Training(
        network, data, task, recipe, parameters=network.parameters(), seed=seed, device=_CPU
    )
    training.run(recipe.length)
    seconds = time.process_time() - begun
    test = replace(data, validation=open_test(SOURCE, RESOLUTION))
    seen, tested = (evaluate(training.trained, part, task, device=_CPU) for part in (data, test))
    return {
        "network": name,
        "repeat": repeat,
        "images": int(recipe.length * BATCH),
        "loss": round(seen.loss, 4),
        "accuracy": round(100 * seen.accuracy, 2),
        "test_loss": round(tested.loss, 4),
        "test_accuracy": round(100 * tested.accuracy, 2),
        "seconds": round(seconds, 1),
    }


def _missing(path: Path, seeds: int) -> Iterator[tuple[str, int]]:
    done = {(row["network"], row["repeat"]) for row in rows_of(path)}
    for repeat in range(seeds):
        for name in networks():
            if (name, repeat) not in done:
                yield name, repeat


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    for name, repeat in _missing(arguments.rows, arguments.seeds):
        row = _row(name, repeat)
        append(arguments.rows, row)
        print(row, flush=True)


def table(arguments: argparse.Namespace) -> None:
    rows = rows_of(arguments.rows)
    print_machine("torch")
    cells = []
    for part, figure in (("validation", "loss"), ("test", "test_loss")):
        curves = {
            curve.network: curve
            for curve in gain_curves(
                CurveRow(row["network"], row["images"], row[figure], row["repeat"]) for row in rows
            )
        }
        for name in networks():
            mine = [row for row in rows if row["network"] == name]
            if not mine:
                continue
            accuracy = [row[figure.replace("loss", "accuracy")] for row in mine]
            gain = curves[name].gains[0] if name in curves else None
            cells.append(
                [
                    f"{part}: {name}",
                    " ".join(f"{row[figure]:.3f}" for row in mine),
                    f"{fmean(row[figure] for row in mine):.3f}",
                    " ".join(f"{value:.1f}" for value in accuracy),
                    f"{fmean(accuracy):.1f}",
                    f"{stdev(accuracy):.1f}" if len(accuracy) > 1 else "",
                    f"{gain.gain:+.3f} ±{gain.deviation:.3f}" if gain else "",
                    curves[name].verdict if gain else "",
                    f"{fmean(row['seconds'] for row in mine):.0f}",
                ]
            )
    print_table(
        ["network", "losses", "mean", "accuracies", "mean", "±", "gain", "verdict", "CPU s"], cells
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, command in (("run", run), ("table", table)):
        one = commands.add_parser(name)
        one.add_argument("rows", type=Path)
        one.set_defaults(run=command)
        if name == "run":
            one.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
