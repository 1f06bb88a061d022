"""Pictures of a front: what a paper or a slide would show."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nas.base.files import write_whole
from nas.spec.width import is_widened
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.point import Point
from nas.study.front.verdict import judge

__all__ = ["draw_front", "front_figure"]

_FRONT, _BARS, _CLOUD, _PLACED = "#c2410c", "#fdba74", "#94a3b8", "#1d4ed8"
# In inches: above the panels, their height, below them without a caption, a line of that, and from
# the panels down to the legend.
_ABOVE, _PANELS, _BELOW, _LINE, _LEGEND = 0.6, 3.63, 1.33, 0.175, 0.43
_CAPTION = 165  # characters of a line
_MOST = 2000  # searched networks of which a belief is drawn
_MARKERS = "os^Dv<>ph*X"


def draw_front(front: ParetoFront, path: Path, *, title: str, mark: str | None = None) -> None:
    """Write the picture of a front, PNG or SVG by suffix; see `front_figure`.

    mark: who made the file, written into it.
    Raises StorageError.
    """
    figure = front_figure(front, title)
    field = "Creator" if path.suffix == ".svg" else "Software"
    with write_whole(path) as temporary:
        figure.savefig(temporary, metadata={field: mark} if mark else None)


class _Picture(Figure):
    """A figure that notebooks show by itself, whether pyplot is in use there or not."""

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def front_figure(front: ParetoFront, title: str) -> Figure:
    """Draw gains in loss and accuracy against latency.

    Searched networks are dots, the front a line with 90 % intervals of what full training is
    believed to gain, hand-placed networks blue marks. Where all of the front were trained fully,
    accuracy is what they then had on test images; where there is no belief, both are as measured.
    What the noise does not allow to tell apart is said below.
    """
    tested = not any(
        math.isnan(point.retrained_test_accuracy) for point in (*front.members, *front.references)
    )
    left_axis, right_axis = _axes(front, tested=tested and bool(front.members))
    caption = [f"Bars: left {left_axis.bars}, right {right_axis.bars}."]
    verdict = judge(front)
    for line in (*verdict.answer, *verdict.essentials):
        caption += textwrap.wrap(line, _CAPTION)
    below = _BELOW + _LINE * len(caption)
    height = below + _PANELS + _ABOVE
    figure = _Picture(figsize=(11, height), dpi=150)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.09, right=0.985, top=1 - _ABOVE / height, bottom=below / height, wspace=0.17
    )
    figure.text(
        0.012, 1 - _ABOVE / 2 / height, title, fontsize=13, fontweight="bold", parse_math=False
    )
    chosen = {item.name for item in front.objectives}
    left, right = figure.subplots(1, 2, sharex=True)
    _panel(left, front, left_axis, joined=chosen == {"loss", "latency_ms"})
    _panel(right, front, right_axis, joined=chosen == {"accuracy", "latency_ms"})
    left.set_ylabel(left_axis.label)
    right.set_ylabel(front.figure.worded(right_axis.label))
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
    return figure


@dataclass(frozen=True, slots=True)
class _Axis:
    """A figure of the points, and what it is multiplied by.

    half: of a point, half of the bar through it.
    bars: what the bars are.
    """

    value: str
    half: Callable[[Point], float]
    scale: float
    label: str
    bars: str

    def of(self, point: Point) -> float:
        return float(getattr(point, self.value)) * self.scale

    def error(self, point: Point) -> float:
        return float(np.nan_to_num(self.half(point))) * self.scale


def _believed(figure: str, scale: float, label: str) -> _Axis:
    """Return the axis of a gain by full training, with its interval."""

    def half(point: Point) -> float:
        low, high = (getattr(point, f"{figure}_{end}") for end in ("low", "high"))
        return float(high - low) / 2

    return _Axis(
        figure, half, scale, label, "the 90 % interval of what full training is believed to gain"
    )


_GAIN_LOSS = _believed("gain_loss", 1.0, "loss saved by full training against the plain network")
_GAIN = _believed("gain", 100.0, "points gained by full training over the plain network")
_SAVED = _Axis(
    "loss_saved",
    lambda point: float(np.hypot(point.loss_noise, np.nan_to_num(point.image_noise))),
    1.0,
    "validation loss saved against the plain network",
    "standard error, from seeds and images",
)
_JUDGED = _Axis(
    "accuracy",
    lambda point: point.accuracy_noise,
    100.0,
    "validation accuracy, %",
    "standard error, from the number of images",
)
_TESTED = _Axis(
    "retrained_test_accuracy",
    lambda point: point.retrained_test_spread / math.sqrt(max(point.retrained_seeds, 1)),
    100.0,
    "test accuracy after full training, %",
    "standard error, from seeds",
)


def _axes(front: ParetoFront, *, tested: bool) -> tuple[_Axis, _Axis]:
    """Return the axes of the left and right panel.

    tested: whether all that is shown has figures of test images.
    """
    right = _GAIN if front.has_gain else _JUDGED
    return _GAIN_LOSS if front.has_gain_loss else _SAVED, _TESTED if tested else right


def _cloud(front: ParetoFront, axis: _Axis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latencies and heights of the searched networks, of very many a part."""
    latencies = np.asarray(front.cloud["latency_ms"], dtype=np.float64)
    measured = front.cloud.get(axis.value)
    if measured is not None:
        return latencies, np.asarray(measured, dtype=np.float64) * axis.scale
    rows = np.unique(np.linspace(0, len(latencies) - 1, _MOST).astype(np.int64))
    rows = rows[: len(latencies)]
    points = front.searched(*rows.tolist())
    return latencies[rows], np.array([axis.of(point) for point in points])


def _panel(axes: Axes, front: ParetoFront, axis: _Axis, *, joined: bool) -> None:
    """joined: the front was chosen by this figure, so its points make a line."""
    latencies, heights = _cloud(front, axis)
    axes.scatter(
        latencies,
        heights,
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
    _frame(axes, front, axis, heights)


def _name(point: Point) -> str:
    plain = point.is_plain or is_widened(point.reference)
    return f"{point.reference}" if plain else f"{point.reference} everywhere"


def _frame(axes: Axes, front: ParetoFront, axis: _Axis, heights: NDArray[np.float64]) -> None:
    """Show the front and all references; a failed candidate far below must not flatten them.

    heights: of the searched networks.
    """
    usual = heights[np.isfinite(heights)]
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
