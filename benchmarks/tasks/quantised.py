"""What int8 costs trained networks of a run, of any task, in every runtime that has it.

    python -m benchmarks.tasks.quantised runs/identities 0 3
    python -m benchmarks.tasks.quantised runs/identities 0 --to openvino

Each network of the run that is named is shipped with a graph in int8, by its best weights, as `nas
export --int8` does, and the packs are thrown away. Prints what the task judges by of the network
and of its graph, and by how much the graph's first figure is lower, with its 95 % interval, on the
validation images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import SpecError
from nas.export import TARGETS, Pack, export_pack
from nas.runs.run import Run, open_run

_ABLE = [name for name, target in TARGETS.items() if target.quantise is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("trials", type=int, nargs="+")
    parser.add_argument("--to", nargs="*", choices=_ABLE, default=_ABLE)
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    print_machine("torch", "onnxruntime")
    rows, faults = [], []
    for trial in arguments.trials:
        for name in arguments.to:
            try:
                rows.append([str(trial), name, *_cells(_shipped(run, trial, name))])
            except SpecError as error:
                faults.append(f"trial {trial}, {name}: {error}")
    print_table(("trial", "runtime", "judged on", "network", "int8", "lost, points", "loss"), rows)
    print("\n".join(faults))


def _shipped(run: Run, trial: int, target: str) -> Pack:
    with tempfile.TemporaryDirectory() as folder:
        return export_pack(run, trial, target, Path(folder, "pack"), int8=True)


def _cells(pack: Pack) -> list[str]:
    scores = next(graph.scores for graph in pack.graphs if graph.precision == "int8")
    if scores is None:
        return [pack.judged_on, _written(pack.network_figures), "not run here", "", ""]
    return [
        pack.judged_on,
        _written(pack.network_figures),
        _written(scores.figures),
        str(scores.drop),
        f"{scores.loss_change:+.4f} ± {scores.half_width:.4f}",
    ]


def _written(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * figure:.1f}" for name, figure in figures.items())


if __name__ == "__main__":
    main()
