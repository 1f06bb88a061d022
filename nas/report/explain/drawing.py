"""A picture of the rules: what each block saves where, and what that costs in time."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from nas.base.files import write_whole
from nas.report.explain.explanation import Effect, Explanation

__all__ = ["draw_rules"]


def draw_rules(explanation: Explanation, path: Path, *, title: str) -> None:
    """Draw heat maps of sites by kinds of block, loss saved to the left and latency to the right.

    Cells whose interval holds zero are hatched: not known. Cells that no evaluated network had
    are empty.

    path: PNG, SVG or PDF by its suffix.
    Raises StorageError.
    """
    sites, kinds = explanation.terms.sites, explanation.terms.kinds
    figure = Figure(figsize=(6.2 + 0.8 * len(kinds), 2.6 + 0.28 * len(sites)), dpi=150)
    FigureCanvasAgg(figure)
    height = figure.get_figheight()
    figure.subplots_adjust(
        left=2.2 / figure.get_figwidth(), right=0.97, top=1 - 0.9 / height, bottom=0.95 / height,
        wspace=0.08,
    )  # fmt: skip
    figure.text(0.012, 1 - 0.3 / height, title, fontsize=12, fontweight="bold", parse_math=False)
    axes = figure.subplots(1, 2, sharey=True)
    cells = {item.name: item for item in explanation.effects_of("site and kind") if item.tried}
    saved = _grid(explanation, cells, "saved") * 1e3
    added = _grid(explanation, cells, "latency_ms") * 1e3
    _draw_map(axes[0], saved, kinds, "loss saved, thousandths", "RdBu", even=True)
    _draw_map(axes[1], added, kinds, "added latency, µs", "YlOrBr")
    for panel, figure_of in zip(axes, ("saved", "latency"), strict=True):
        low, high = (_grid(explanation, cells, f"{figure_of}_{end}") for end in ("low", "high"))
        for row, column in zip(*np.nonzero((low <= 0) & (high >= 0)), strict=True):
            panel.add_patch(
                Rectangle(
                    (column - 0.5, row - 0.5),
                    1,
                    1,
                    fill=False,
                    hatch="////",
                    linewidth=0,
                    edgecolor=(0.1, 0.1, 0.1, 0.4),  # seen on every shade
                )  # fmt: skip
            )
    axes[0].set_yticks(range(len(sites)), sites, fontsize=7)
    caption = (
        "Effect of one more block, by a linear model of all evaluated networks. Hatched: the 95 % "
        "interval holds zero: the data cannot tell which way. Empty: no evaluated network had it."
    )
    width = int(figure.get_figwidth() * 14)
    lines = "\n".join(textwrap.wrap(caption, width))
    figure.text(0.012, 0.1 / height, lines, fontsize=8, va="bottom")
    with write_whole(path) as temporary:
        figure.savefig(temporary)


def _grid(explanation: Explanation, cells: dict[str, Effect], figure: str) -> NDArray[np.float64]:
    """Return (sites, kinds) of a figure of the effects, NaN where it was never tried."""
    return np.array(
        [
            [
                getattr(cells[name], figure) if (name := f"{site}|{kind}") in cells else np.nan
                for kind in explanation.terms.kinds
            ]
            for site in explanation.terms.sites
        ]
    )


def _draw_map(
    axes: Axes,
    values: NDArray[np.float64],
    kinds: tuple[str, ...],
    label: str,
    colours: str,
    *,
    even: bool = False,
) -> None:
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    low = -most if even else min(0.0, float(np.nanmin(values, initial=0.0)))
    axes.imshow(values, cmap=colours, vmin=low, vmax=most or 1.0, aspect="auto")
    axes.set_xticks(range(len(kinds)), list(kinds), fontsize=8)
    axes.set_title(label, fontsize=9)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = abs(value) > 0.6 * most
            axes.text(
                column, row, f"{value:.2g}", ha="center", va="center", fontsize=6.5,
                color="white" if dark else "#0f172a",
            )  # fmt: skip
