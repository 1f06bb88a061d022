"""Pictures of a front: what a paper or a slide would show."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nas.base.files import write_whole
from nas.spec.architecture import PLAIN
from nas.study.front.front import Front, Point
from nas.study.front.verdict import judge

__all__ = ["draw_front"]

_FRONT, _BARS, _CLOUD, _PLACED = "#c2410c", "#fdba74", "#94a3b8", "#1d4ed8"
# In inches: above the panels, their height, below them without a caption, a line of that, and from
# the panels down to the legend.
_ABOVE, _PANELS, _BELOW, _LINE, _LEGEND = 0.6, 3.63, 1.33, 0.175, 0.43
_CAPTION = 165  # characters of a line
_MARKERS = "os^Dv<>ph*X"


def draw_front(front: Front, path: Path, *, title: str, mark: str | None = None) -> None:
    """Draw loss saved and accuracy against latency into one picture (PNG or SVG by suffix).

    mark: who made the file, written into it.

    Searched networks are dots, the front a line with the spread between seeds, hand-placed
    networks blue marks. Where all of the front were trained fully, accuracy is what they then had
    on test images. What the noise does not allow to tell apart is said below.
    """
    tested = not any(
        math.isnan(point.retrained_test_accuracy) for point in (*front.members, *front.references)
    )
    right_axis = _TESTED if tested and front.members else _JUDGED
    caption = [f"Bars: standard error, left from seeds and images, right {right_axis.bars}."]
    for line in judge(front).lines:
        caption += textwrap.wrap(line, _CAPTION)
    below = _BELOW + _LINE * len(caption)
    height = below + _PANELS + _ABOVE
    figure = Figure(figsize=(11, height), dpi=150)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.09, right=0.985, top=1 - _ABOVE / height, bottom=below / height, wspace=0.17
    )
    figure.text(
        0.012, 1 - _ABOVE / 2 / height, title, fontsize=13, fontweight="bold", parse_math=False
    )
    chosen = {item.name for item in front.objectives}
    left, right = figure.subplots(1, 2, sharex=True)
    _panel(left, front, _SAVED, joined=chosen == {"loss", "latency_ms"})
    _panel(right, front, right_axis, joined=chosen == {"accuracy", "latency_ms"})
    left.set_ylabel(_SAVED.label)
    right.set_ylabel(right_axis.label)
    for axes in (left, right):
        axes.set_xlabel("latency, ms (one image, one thread)")
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    columns = min(5, len(labels))
    figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.53, (below - _LEGEND) / height),
        ncols=columns,
        frameon=False,
        fontsize=9,
    )
    figure.text(0.012, 0.08 / height, "\n".join(caption), fontsize=9, va="bottom", linespacing=1.4)
    field = "Creator" if path.suffix == ".svg" else "Software"
    with write_whole(path) as temporary:
        figure.savefig(temporary, metadata={field: mark} if mark else None)


@dataclass(frozen=True, slots=True)
class _Axis:
    """A figure of the points, its standard error, and what both are multiplied by.

    bars: where the error comes from.
    """

    value: str
    noise: str
    scale: float
    label: str
    bars: str = ""

    def of(self, point: Point) -> float:
        return float(getattr(point, self.value)) * self.scale

    def error(self, point: Point) -> float:
        error = getattr(point, self.noise)
        if self.value == "retrained_test_accuracy":
            error = error / math.sqrt(max(point.retrained_seeds, 1))
        if self.value == "loss_saved":
            error = np.hypot(error, np.nan_to_num(point.image_noise))
        return float(np.nan_to_num(error)) * self.scale


_SAVED = _Axis("loss_saved", "loss_noise", 1.0, "validation loss saved against the plain network")
_JUDGED = _Axis(
    "accuracy", "accuracy_noise", 100.0, "validation accuracy, %", "from the number of images"
)
_TESTED = _Axis(
    "retrained_test_accuracy",
    "retrained_test_spread",
    100.0,
    "test accuracy after full training, %",
    "from seeds",
)


def _panel(axes: Axes, front: Front, axis: _Axis, *, joined: bool) -> None:
    """joined: the front was chosen by this figure, so its points make a line."""
    cloud = front.cloud
    everywhere = cloud.get(axis.value)
    axes.scatter(
        cloud["latency_ms"] if everywhere is not None else [],
        everywhere * axis.scale if everywhere is not None else [],
        s=16,
        color=_CLOUD,
        linewidths=0,
        label="searched",
    )
    members = front.members
    axes.errorbar(
        [point.latency_ms for point in members],
        [axis.of(point) for point in members],
        yerr=[axis.error(point) for point in members],
        color=_FRONT,
        ecolor=_BARS,
        marker="o",
        markersize=6,
        linestyle="-" if joined else "none",
        linewidth=1.2,
        elinewidth=1.2,
        capsize=2,
        zorder=3,
        label="front",
    )
    for number, point in enumerate(front.references):
        axes.plot(
            point.latency_ms,
            axis.of(point),
            linestyle="none",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=8,
            markerfacecolor="none" if point.on_front else "white",
            markeredgecolor=_PLACED,
            markeredgewidth=1.6,
            zorder=4,
            label=_name(point),
        )
    _frame(axes, front, axis)


def _name(point: Point) -> str:
    return f"{point.reference}" if point.reference == PLAIN else f"{point.reference} everywhere"


def _frame(axes: Axes, front: Front, axis: _Axis) -> None:
    """Show the front and all references; a failed candidate far below must not flatten them."""
    cloud = front.cloud[axis.value] * axis.scale
    usual = cloud[np.isfinite(cloud)]
    ends = [
        axis.of(point) + sign * axis.error(point) * point.on_front
        for point in front.points
        for sign in (-1, 1)
    ]
    if not usual.size or not np.isfinite(ends).any():
        return
    low = min(float(np.quantile(usual, 0.1)), float(np.nanmin(ends)))
    high = max(float(usual.max()), float(np.nanmax(ends)))
    margin = 0.05 * (high - low or abs(high) or 1.0)
    axes.set_ylim(low - margin, high + margin)
