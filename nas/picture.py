"""Pictures of a front: what a paper or a slide would show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nas.files import write_whole
from nas.front import Front, Point
from nas.verdict import judge

__all__ = ["draw_front"]

_FRONT, _CLOUD, _PLACED = "#c2410c", "#94a3b8", "#1d4ed8"
_MARKERS = "os^Dv<>ph*X"


def draw_front(front: Front, path: Path, *, title: str) -> None:
    """Draw loss saved and accuracy against latency into one picture (PNG or SVG by suffix).

    Searched networks are dots, the front a line with the spread between seeds, hand-placed
    networks blue marks. What the noise does not allow to tell apart is said below.
    """
    figure = Figure(figsize=(11, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharex=True)
    _panel(left, front, "loss_saved", "loss_noise", 1.0)
    left.set_ylabel("validation loss saved against the plain network")
    _panel(right, front, "accuracy", "accuracy_noise", 100.0)
    right.set_ylabel("validation accuracy, %")
    for axes in (left, right):
        axes.set_xlabel("latency, ms (one image, one thread)")
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.supxlabel("\n".join(judge(front).lines), fontsize=9, x=0.01, ha="left")
    with write_whole(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None} if path.suffix == ".png" else None)


def _panel(axes: Axes, front: Front, value: str, noise: str, scale: float) -> None:
    cloud = front.cloud
    axes.scatter(
        cloud["latency_ms"],
        cloud[value] * scale,
        s=16,
        color=_CLOUD,
        linewidths=0,
        label="searched",
    )
    members = front.members
    axes.errorbar(
        [point.latency_ms for point in members],
        [getattr(point, value) * scale for point in members],
        yerr=[np.nan_to_num(getattr(point, noise)) * scale for point in members],
        color=_FRONT,
        marker="o",
        markersize=6,
        linewidth=1.2,
        elinewidth=1,
        capsize=2,
        label="front (± standard error)",
    )
    for number, point in enumerate(front.references):
        axes.plot(
            point.latency_ms,
            getattr(point, value) * scale,
            linestyle="none",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=8,
            markerfacecolor="white",
            markeredgecolor=_PLACED,
            markeredgewidth=1.6,
            label=_name(point),
        )
    _frame(axes, front, value, scale)


def _name(point: Point) -> str:
    return f"{point.reference}" if point.reference == "plain" else f"{point.reference} everywhere"


def _frame(axes: Axes, front: Front, value: str, scale: float) -> None:
    """Show the front and all references; a failed candidate far below must not flatten them."""
    cloud = front.cloud[value] * scale
    shown = [getattr(point, value) * scale for point in front.points]
    usual = cloud[np.isfinite(cloud)]
    if not usual.size or not np.isfinite(shown).any():
        return
    low = min([float(np.quantile(usual, 0.05)), *shown])
    high = max([float(usual.max()), *shown])
    margin = 0.08 * (high - low or abs(high) or 1.0)
    axes.set_ylim(low - margin, high + margin)
