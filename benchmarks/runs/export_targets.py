"""A trained network in every target that is installed: agreement, accuracy in int8, latency.

    python -m benchmarks.runs.export_targets runs/demo 9

Prints one row for each graph of each winner pack; the packs themselves are thrown away.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import NasError
from nas.export import TARGETS, Pack, export_pack
from nas.runs.run import open_run

_HEADINGS = ("target", "graph", "differs by", "same class", "right", "loss", "ms", "KiB", "left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("trial", type=int)
    parser.add_argument("targets", nargs="*", help="Default: all that are installed.")
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    print_machine("torch")
    rows: list[list[str]] = []
    for name in arguments.targets or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                int8 = TARGETS[name].quantise is not None
                pack = export_pack(run, arguments.trial, name, Path(folder, "pack"), int8=int8)
            except NasError as error:
                print(f"{name}: {error}")
                continue
        rows += _rows(pack)
    print_table(_HEADINGS, rows)


def _rows(pack: Pack) -> list[list[str]]:
    """loss: the graph's less the network's. left: operators that an accelerator leaves, of all."""
    rows = []
    for graph in pack.graphs:
        judged, latency = graph.scores, graph.latency
        if judged is None or latency is None:
            rows.append([pack.target.name, graph.precision, "not run here", *[""] * 6])
            continue
        left = "; ".join(
            f"{told.accelerator}: {sum(told.outside.values())} of "
            f"{told.inside + sum(told.outside.values())}"
            for told in graph.delegates
        )
        what = graph.kind if graph.kind == "model.py" else graph.precision
        rows.append(
            [
                pack.target.name,
                what,
                f"{judged.parity.share:.1e}",
                f"{judged.parity.agreement:.1%}",
                f"{judged.accuracy:.1%}",
                f"{judged.loss_change:+.4f} ± {judged.half_width:.4f}",
                f"{latency.latency_ms:.3f}",
                f"{graph.bytes / 1024:.0f}",
                left,
            ]
        )
    return rows


if __name__ == "__main__":
    main()
