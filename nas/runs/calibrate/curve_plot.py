"""The picture of curves: gain against the plain network over images seen."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nas.base.files import write_whole
from nas.study.budget_curves import Curve, CurvesFound, half_of, kind_of

__all__ = ["draw_curves"]

_COLOURS = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be185d", "#4d7c0f")
_HALVES = {"early": ("--", "^"), "late": (":", "v")}
_COLUMNS = 3


def draw_curves(growth: CurvesFound, path: Path) -> None:
    """Draw the gain of each network over images, a panel for each kind (PNG or SVG by suffix).

    Bars are one standard deviation; the advised budget is a grey line.
    """
    kinds = list(dict.fromkeys(kind_of(curve.network) for curve in growth.curves))
    columns = min(_COLUMNS, len(kinds))
    lines = -(-len(kinds) // columns)
    height = 1.1 + 3.2 * lines
    figure = Figure(figsize=(max(6.0, 3.9 * columns), height), dpi=150)
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"Gain over plain, {growth.space} on {growth.data}, each training to its own end\n"
        f"search with {growth.advice.epochs:g} epochs",
        fontsize=11,
        fontweight="bold",
        parse_math=False,
    )
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for number, axes in enumerate(panels.flat):
        axes.set_visible(number < len(kinds))
        if number < len(kinds):
            mine = [curve for curve in growth.curves if kind_of(curve.network) == kinds[number]]
            _panel(axes, mine, _COLOURS[number % len(_COLOURS)], growth)
    for axes in panels[:, 0]:
        axes.set_ylabel("validation loss saved")
    for axes in panels[-1, :]:
        axes.set_xlabel("images seen")
    figure.tight_layout()
    with write_whole(path) as temporary:
        figure.savefig(temporary, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(axes: Axes, curves: list[Curve], colour: str, growth: CurvesFound) -> None:
    for curve in curves:
        style, marker = _HALVES.get(half_of(curve.network), ("-", "o"))
        axes.errorbar(
            [point.images for point in curve.gains],
            [point.gain for point in curve.gains],
            yerr=[point.deviation or 0.0 for point in curve.gains],
            linestyle=style,
            marker=marker,
            color=colour,
            markersize=5,
            elinewidth=0.8,
            capsize=2,
            label=f"{curve.network}: {curve.verdict}",
        )
    chosen = [
        point.images
        for curve in growth.curves
        for point in curve.gains
        if point.epochs == growth.advice.epochs
    ]
    if chosen:
        axes.axvline(chosen[0], color="#94a3b8", linewidth=6, alpha=0.25)
    axes.axhline(0, color="#334155", linewidth=0.8)
    axes.set_xscale("log")
    axes.grid(color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7)
