"""How predicted latencies are judged against measured ones, printed and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.shared.report import print_table
from nas.base.errors import SpecError
from nas.base.files import write_whole

__all__ = ["Guess", "Score", "draw_guesses", "judge", "print_scores", "read_devices"]

Floats = NDArray[np.float64]

# Relative errors of a network that a phone answers in microseconds would drown all others.
LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Score:
    """One device, one choice of networks. mape, within_5, within_10, covered: percent.

    mape leaves out networks below 1 % of the median latency; covered: measured latencies
    inside the 90 % interval; dropped: measurements that were taken as broken.
    """

    spearman: float
    kendall: float
    mape: float
    within_5: float
    within_10: float
    covered: float
    dropped: float


@dataclass(frozen=True, slots=True)
class Guess:
    """Predicted against measured on one device, (n,) each in ms; judged: (n,) not sampled."""

    predicted: Floats
    half_width: Floats
    measured: Floats
    judged: NDArray[np.bool_]
    dropped: int = 0


def read_devices(path: Path, prefix: str, needed: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The table and the names of its devices: what follows the prefix in column names."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in needed if column not in table]
    names = [str(column) for column in table]
    devices = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if missing or not devices:
        wanted = ", ".join(missing) or f"{prefix}<device>"
        raise SpecError(f"{path} has no column {wanted}; see the first lines of this script")
    return table, devices


def judge(guess: Guess) -> Score:
    predicted, measured = guess.predicted[guess.judged], guess.measured[guess.judged]
    both = pd.DataFrame({"predicted": predicted, "measured": measured})
    error = np.abs(predicted - measured) / measured
    usual = measured > LEAST_SHARE * np.median(measured)
    covered = np.abs(predicted - measured) <= guess.half_width[guess.judged]
    return Score(
        spearman=both["predicted"].corr(both["measured"], method="spearman"),
        kendall=both["predicted"].corr(both["measured"], method="kendall"),
        mape=100 * float(error[usual].mean()),
        within_5=100 * float((error < 0.05).mean()),
        within_10=100 * float((error < 0.10).mean()),
        covered=100 * float(covered.mean()),
        dropped=float(guess.dropped),
    )


def print_scores(scores: Mapping[str, Sequence[Score]]) -> None:
    """Device -> one score per seed. Means over the seeds, and the worst seed's Spearman."""
    table = {name: pd.DataFrame(each) for name, each in scores.items()}
    means = pd.DataFrame({name: each.mean() for name, each in table.items()}).T
    worst = {name: float(each["spearman"].min()) for name, each in table.items()}
    means.loc["mean"] = means.mean()
    worst["mean"] = float(np.mean(list(worst.values())))
    rows = [
        [
            name,
            f"{row['spearman']:.3f}",
            f"{worst[name]:.3f}",
            f"{row['kendall']:.3f}",
            *(f"{row[key]:.1f}" for key in ("mape", "within_5", "within_10", "covered")),
            f"{row['dropped']:.1f}",
        ]
        for name, row in ((str(name), row) for name, row in means.iterrows())
    ]
    headings = ("Spearman", "worst", "Kendall", "MAPE %", "in 5 %", "in 10 %", "covered %", "drop")
    assert len(headings) == len(fields(Score)) + 1
    print_table(("device", *headings), rows)


def draw_guesses(guesses: Mapping[str, Guess], path: Path, *, title: str) -> None:
    """Predicted against measured, one small picture per device."""
    columns = min(4, len(guesses))
    lines = -(-len(guesses) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.6 * lines + 0.7), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (device, guess) in zip(panels, guesses.items(), strict=False):
        shown = np.flatnonzero(guess.judged)
        shown = np.random.default_rng(0).permutation(shown)[:500]
        inner = np.quantile(guess.measured, [0.002, 0.998])
        ends_of = np.concatenate([inner, guess.measured[~guess.judged]])
        low, high = ends_of.min(), ends_of.max()
        margin = 0.08 * (high - low)
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, color="#94a3b8", linewidth=1.0, zorder=1)
        axes.scatter(
            guess.measured[shown], guess.predicted[shown], s=6, color="#1d4ed8", alpha=0.35, lw=0
        )
        sampled = ~guess.judged
        axes.scatter(
            guess.measured[sampled],
            guess.predicted[sampled],
            s=22,
            facecolor="white",
            edgecolor="#c2410c",
            linewidths=1.2,
            zorder=3,
        )
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        score = judge(guess)
        axes.set_title(f"{device}: {score.spearman:.3f}", fontsize=10, loc="left", parse_math=False)
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in panels[len(guesses) :]:
        axes.set_visible(False)
    figure.supxlabel("measured, ms (orange: the networks that were sampled)", fontsize=9)
    figure.supylabel("predicted, ms", fontsize=9)
    with write_whole(path) as temporary:
        figure.savefig(temporary)
