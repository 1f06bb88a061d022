"""What a search's short trainings tell of the truth's networks that it never trained.

    python -m benchmarks.fidelity.of_run RUN [--landscape L1]

RUN: a folder of a search on the landscape's backbone and images. Its belief is fitted once more,
from its short trainings alone, and asked about the networks of the truth that it did not train;
these means are judged as those of the candidates are (`judge.py`, RULES.md). Beside them is the
belief from all of its trainings, full ones too. The judges of a run are its validation images, of
which half judge the truth: weights are others, images partly the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.fidelity.judge import CLASSES, Truth
from benchmarks.fidelity.judgement import judge
from benchmarks.fidelity.landscapes import LANDSCAPES
from benchmarks.fidelity.trainings import rows_of
from benchmarks.fidelity.truth import rows_file
from benchmarks.shared.report import print_table
from nas.base.errors import NasError
from nas.belief.belief import Belief
from nas.belief.grid import Floats
from nas.models.cost import cost
from nas.runs.belief import read_budgets
from nas.runs.run import Run, open_run
from nas.spec.architecture import Architecture
from nas.study.evidence import FULL, collect_evidence
from nas.study.seen_space import SeenSpace
from nas.study.trials import Trials


def trained_networks(trials: Trials) -> dict[str, Architecture]:
    """Return digest -> network, of those of the space that came to an end."""
    texts = trials.text("architecture").objects()
    ended = np.isfinite(trials["loss"])
    networks = [
        Architecture.from_json(str(text)) for text, kept in zip(texts, ended, strict=True) if kept
    ]
    usual = networks[0].backbone
    return {item.digest: item for item in networks if item.backbone == usual}


def beliefs(run: Run, judged: list[Architecture]) -> dict[str, tuple[int, Floats]]:
    """Return name -> (trainings, expected loss (n,) of networks but for a constant)."""
    state = run.read()
    trained = trained_networks(state.trials)
    every = tuple({item.digest: item for item in [*judged, *trained.values()]}.values())
    macs = np.array([cost(item, num_classes=CLASSES).macs for item in every], dtype=np.float64)
    seen = SeenSpace(every, macs)
    codes = dict(zip(trained, seen.codes(list(trained.values())), strict=True))
    budgets = read_budgets(run.file, state.trials, state.train_images)
    evidence = collect_evidence(state.trials, codes, budgets)
    short = np.array([FULL not in str(source) for source in evidence.source])
    found = {}
    for name, rows in (("short trainings", short), ("all trainings", np.ones_like(short))):
        belief = Belief.fit(
            seen.space(), evidence[np.flatnonzero(rows)], target_images=budgets.full_images
        )
        count = len(np.unique(evidence.training[rows]))
        found[name] = count, -belief.gain(seen.codes(judged)).mean
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--landscape", choices=tuple(LANDSCAPES), default="L1")
    arguments = parser.parse_args()
    landscape = LANDSCAPES[arguments.landscape]
    length = landscape.lengths[0]
    try:
        run = open_run(arguments.run)
        trained = trained_networks(run.read().trials)
    except NasError as error:
        parser.exit(2, f"{error}\n")
    rows = [
        row
        for row in rows_of(rows_file(landscape))
        if row["epochs"] == length and landscape.networks[row["network"]].digest not in trained
    ]
    truth = Truth(landscape, rows, length)
    print(f"{len(truth.names)} networks of the truth that the search did not train\n")
    cells = []
    for name, (count, expected) in beliefs(
        run, [landscape.networks[name] for name in truth.names]
    ).items():
        judged = judge(expected, truth.loss, *truth.known)
        cells.append([name, str(count), str(judged.overall), str(judged.placement)])
    print_table(["belief from", "trainings", "overall", "placement"], cells)


if __name__ == "__main__":
    main()
