"""How long a short training must be to tell networks apart, from trainings that are published here.

    python -m benchmarks.tasks.lengths [--rows FILE] [--study NAME]

Trains nothing. Of the full trainings in `--rows`, on the way: the mean loss and figure, the
deviation between seeds of one training's loss, that between networks beyond it, and the rank
correlation of the networks' mean losses with what they come to on test images; on the way the rate
is still high, and both ends are of the same trainings, so that the last column is more than a
training of that length by itself could have. Of the short trainings of `--study`: the same, against
the full trainings of the same networks there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.shared.command import carry_out
from benchmarks.shared.report import print_table
from nas.runs.run import open_run

FOLDER = Path(__file__).parent
Floats = NDArray[np.float64]


def deviations(seeds: Sequence[Floats]) -> tuple[float, float]:
    """Return the deviation of one training between seeds, and that between networks beyond it.

    seeds: of each network a figure of its trainings; one alone says nothing of the former.
    """
    repeated = [each for each in seeds if len(each) > 1]
    freedom = sum(len(each) - 1 for each in repeated)
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in repeated) / freedom
    share = float(np.mean([1 / len(each) for each in seeds]))
    between = float(np.var([each.mean() for each in seeds], ddof=1)) - within * share
    return within**0.5, max(0.0, between) ** 0.5


def by_network(rows: Sequence[Mapping[str, Any]], name: str, key: str) -> dict[str, Floats]:
    """Return a figure of the trainings of each network."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row[key])
    return {network: np.array(values) for network, values in found.items()}


def order(one: Mapping[str, Floats], other: Mapping[str, Floats]) -> str:
    """Return the rank correlation of means, and of how many networks."""
    shared = [name for name in one if name in other]
    ranks = spearmanr(*([side[name].mean() for name in shared] for side in (one, other)))
    return f"{ranks.statistic:.2f} ({len(shared)} networks, p = {ranks.pvalue:.2f})"


def on_the_way(path: Path) -> None:
    """Print what full trainings were on their way."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    last = by_network(rows, "network", "test_loss")
    shown = []
    for place, (epochs, *_) in enumerate(rows[0]["curve"]):
        here = [
            {"network": row["network"], "loss": row["curve"][place][1],
             "figure": row["curve"][place][2]}
            for row in rows
        ]  # fmt: skip
        losses = by_network(here, "network", "loss")
        within, between = deviations(list(losses.values()))
        figures = [row["figure"] for row in here]
        shown.append(
            [f"{epochs:g}", f"{np.mean([row['loss'] for row in here]):.3f}",
             f"{100 * np.mean(figures):.1f}", f"{within:.3f}", f"{between:.3f}",
             order(losses, last)]
        )  # fmt: skip
    print(f"{path.name}: {len(rows)} trainings of {len(last)} networks, {rows[0]['description']}")
    print_table(("epochs", "loss", "figure, %", "seeds ±", "networks ±", "with the end"), shown)


def of_a_study(folder: Path) -> None:
    """Print what short trainings of a search were, beside its full ones."""
    state = open_run(folder).read()
    trials, proxy = state.trials, state.run.file.proxy
    complete = [trials.record(int(row)) for row in np.flatnonzero(trials.complete)]
    short = [{"digest": one.digest, "loss": one.loss, "figure": one.accuracy} for one in complete]
    full = [
        {"digest": one.digest, "loss": one.loss, "figure": one.accuracy}
        for one in state.retrained()
        if one.loss is not None
    ]
    print(f"\n{folder.name}: {len(short)} trainings of {proxy.budgets[-1]:g} {proxy.unit}, "
          f"{len(full)} full ones")  # fmt: skip
    shown = []
    for key in ("loss", "figure"):
        sides = [by_network(rows, "digest", key) for rows in (short, full)]
        cells = [f"{value:.3f}" for side in sides for value in deviations(list(side.values()))]
        shown.append([key, *cells, order(*sides)])
    print_table(
        ("", "short: seeds ±", "networks ±", "full: seeds ±", "networks ±", "both in order"), shown
    )


def main() -> None:
    """Carry out what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default="effects-detection-cells.jsonl")
    parser.add_argument("--study", default="detection-cells")
    parser.set_defaults(run=_run)
    carry_out(parser)


def _run(given: argparse.Namespace) -> None:
    on_the_way(FOLDER / given.rows)
    of_a_study(FOLDER / "searches-of" / given.study)


if __name__ == "__main__":
    main()
