"""What the rows of many runs say of the samplers, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.search.peers import PEERS, family
from benchmarks.search.sampler_report import PAIR, SHOWN, half_width, title
from nas.base.files import write_whole

# Okabe and Ito's colours, which the colour-blind tell apart; ours is the first.
COLOURS = ("#d55e00", "#7a7a7a", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
MARKERS = "os^Dv<>ph*X"


def draw_curves(rows: pd.DataFrame, names: Sequence[str], column: str, path: Path) -> None:
    """A panel per pair of columns: mean over seeds and its 95 % interval by evaluations."""
    groups = list(rows.groupby(PAIR, sort=False))
    figure, panels = panels_of(len(groups), "Share of the true front's hypervolume (95 % interval)")
    for axes, (label, mine) in zip(panels, groups, strict=True):
        for name in names:
            each = mine[mine["sampler"] == name].groupby("evaluations")[column]
            if not each.ngroups:
                continue
            means, widths = each.mean(), each.apply(half_width)
            style = style_of(name)
            axes.plot(means.index, means, label=name, markersize=4, **style)
            low, high = means - widths, means + widths
            axes.fill_between(means.index, low, high, color=style["color"], alpha=0.1, lw=0)
        axes.set_title(title(label), fontsize=10, loc="left", parse_math=False)
        counts = [count for count in (10, *SHOWN) if count <= mine["evaluations"].max()]
        axes.set_xscale("log")
        axes.set_xticks(counts, list(map(str, counts)))
        axes.set_xticks([], minor=True)
        seeds = mine.groupby("sampler")["seed"].nunique()
        fewer = "".join(f", {name} {count}" for name, count in seeds[seeds < seeds.max()].items())
        axes.set_xlabel(f"evaluations ({seeds.max()} seeds{fewer})", fontsize=9)
    finish(figure, panels, path)


def draw_workers(
    rows: pd.DataFrame, names: Sequence[str], counts: Sequence[int], column: str, path: Path
) -> None:
    """A panel per pair of columns: mean share after as many evaluations, by workers."""
    count = max(each for each in counts if each in set(rows["evaluations"]))
    rows = rows[rows["evaluations"] == count]
    groups = list(rows.groupby(PAIR, sort=False))
    figure, panels = panels_of(
        len(groups), f"Workers at once: share of the hypervolume after {count} evaluations"
    )
    for axes, (label, mine) in zip(panels, groups, strict=True):
        for name in names:
            each = mine[mine["sampler"] == name].groupby("workers")[column]
            if each.ngroups < 2:
                continue
            aside = 1.0 + 0.03 * (names.index(name) - len(names) / 2)
            axes.errorbar(
                each.mean().index * aside,
                each.mean(),
                yerr=each.apply(half_width),
                label=name,
                markersize=5,
                elinewidth=0.8,
                **style_of(name),
            )
        workers = sorted(set(mine["workers"]))
        axes.set_title(title(label), fontsize=10, loc="left", parse_math=False)
        axes.set_xscale("log")
        axes.set_xticks(workers, list(map(str, workers)))
        axes.set_xticks([], minor=True)
        axes.set_xlabel(f"workers ({mine['seed'].nunique()} seeds)", fontsize=9)
    finish(figure, panels, path)


def style_of(name: str) -> dict[str, Any]:
    """The same for all settings of a family, and in every picture."""
    number = list(dict.fromkeys(map(family, PEERS))).index(family(name))
    # Ours and random have colours of their own; the others share the rest, then again dashed.
    turn, place = divmod(number - 2, len(COLOURS) - 2) if number > 1 else (0, number - 2)
    return {
        "color": COLOURS[place + 2],
        "linestyle": DASHES[turn % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
        "linewidth": 2.4 if number == 0 else 1.3,
        "zorder": 3 if number == 0 else 2,
    }


def panels_of(count: int, heading: str) -> tuple[Figure, list[Axes]]:
    columns = min(3, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(max(4.4 * columns + 0.4, 7.0), 3.7 * lines + 1.2), dpi=130)
    FigureCanvasAgg(figure)
    figure.suptitle(heading, fontsize=12, fontweight="bold", x=0.012, ha="left")
    panels = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def finish(figure: Figure, panels: Sequence[Axes], path: Path) -> None:
    found: dict[str, Artist] = {}
    for axes in panels:
        # Intervals of few seeds are wide; the means are what a panel shows.
        means = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
        axes.set_ylim(max(0.0, means.min() - 0.05), min(1.02, means.max() + 0.05))
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        handles, labels = axes.get_legend_handles_labels()
        found |= {str(label): handle for label, handle in zip(labels, handles, strict=True)}
    inches = figure.get_size_inches()[1]
    columns = min(len(found), 3 * max(1, len(panels[:3])))
    lines = -(-len(found) // max(columns, 1))
    figure.legend(
        list(found.values()),
        list(found),
        loc="lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )
    figure.tight_layout(rect=(0, (0.1 + 0.23 * lines) / inches, 1, 1 - 0.05 / inches))
    with write_whole(path) as temporary:
        figure.savefig(temporary)
