"""The figures of a report for a paper: PNG and SVG, by matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nas.report.progress import trace_progress
from nas.report.remeasured_latency import compare_latencies
from nas.report.report_file import MARK, write_report_file
from nas.report.snapshot import Snapshot
from nas.runs.run import Run
from nas.study.front.plot import draw_front

__all__ = ["write_figures"]

_BLUE, _ORANGE, _GREEN, _GREY = "#0b5fa5", "#c2410c", "#0b7a5c", "#64748b"


def write_figures(run: Run, folder: Path) -> list[Path]:
    """Write front, progress, and where the run has them promise, latency and trust.

    Returns the files.
    Raises SpecError when another file has the name of one, and StorageError.
    """
    snapshot = Snapshot.of(run)
    written = []
    if snapshot.front.points:
        title = run.title
        for path in _paths(folder, "front"):
            write_report_file(
                path, lambda part: draw_front(snapshot.front, part, title=title, mark=MARK)
            )
            written.append(path)
    # Letters stay letters in an SVG, and two drawings of the same are the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": MARK, "font.size": 9}):
        for name, draw in _FIGURES.items():
            if (figure := draw(snapshot)) is None:
                continue
            for path in _paths(folder, name):
                _save(figure, path)
                written.append(path)
    return written


def _paths(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.{suffix}" for suffix in ("png", "svg")]


def _save(figure: Figure, path: Path) -> None:
    svg: dict[str, str | None] = {"Creator": MARK, "Date": None}
    metadata = svg if path.suffix == ".svg" else {"Software": MARK}
    write_report_file(path, lambda part: figure.savefig(part, metadata=metadata))


def _progress(snapshot: Snapshot) -> Figure | None:
    progress = trace_progress(snapshot.trials, snapshot.front.objectives)
    if not len(progress.trial):
        return None
    networks = np.arange(1, len(progress.trial) + 1)
    first = snapshot.front.objectives[0]

    def draw(left: Axes, right: Axes) -> None:
        left.step(networks, progress.volume * 100, where="post", color=_BLUE)
        left.set_ylim(0, 104)
        left.set_ylabel("hypervolume, % of that at the end")
        scale = 100.0 if first.name == "accuracy" else 1.0
        right.step(networks, progress.best * scale, where="post", color=_BLUE)
        title = snapshot.front.figure.worded(first.title)
        right.set_ylabel(f"best {title}" + (", %" if scale > 1 else ""))
        for axes in (left, right):
            axes.set_xlabel("networks evaluated")

    return _figure(draw, panels=2)


def _promise(snapshot: Snapshot) -> Figure | None:
    promises = [item for item in snapshot.promises if item.gain > 0 or item.luck > 0]
    if not promises:
        return None

    def draw(axes: Axes) -> None:
        number = np.arange(1, len(promises) + 1)
        axes.semilogy(number, [item.gain for item in promises], ".-", color=_GREEN, label="gain")
        axes.semilogy(number, [item.luck for item in promises], "--", color=_ORANGE, label="luck")
        axes.set_xlabel("proposals of the model")
        axes.set_ylabel("hypervolume expected")
        axes.legend(frameon=False)

    return _figure(draw)


def _latency(snapshot: Snapshot) -> Figure | None:
    latency = compare_latencies(snapshot.trials)
    if not len(latency.trial):
        return None

    def draw(axes: Axes) -> None:
        axes.errorbar(
            latency.before,
            latency.after,
            xerr=latency.before * np.nan_to_num(latency.spread_before),
            yerr=latency.after * np.nan_to_num(latency.spread_after),
            linestyle="none",
            marker="o",
            markersize=4,
            elinewidth=0.9,
            color=_BLUE,
        )
        both = np.concatenate([latency.before, latency.after])
        ends = [both.min(), both.max()]
        axes.plot(ends, ends, "--", color=_GREY, linewidth=0.9)
        how = "predicted" if latency.predicted else "measured beside the trainings"
        axes.set_xlabel(f"latency {how}, ms")
        axes.set_ylabel("on the idle machine, ms")

    return _figure(draw)


def _trust(snapshot: Snapshot) -> Figure | None:
    calibration = snapshot.calibration
    biases = {} if calibration is None else calibration.searched.bias
    rows = [(name, item) for name, item in biases.items() if item.value is not None]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        for number, (_, item) in enumerate(rows):
            assert item.value is not None
            ends = [item.value if end is None else end for end in (item.low, item.high)]
            colour = _ORANGE if item.low is not None and ends[0] * ends[1] > 0 else _GREY
            axes.plot(np.multiply(ends, 100), [number, number], color=colour)
            axes.plot(item.value * 100, number, "o", color=colour, markersize=5)
        axes.axvline(0, color=_GREY, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlabel("rank error of the proxy, % of all ranks")

    return _figure(draw)


_FIGURES: dict[str, Callable[[Snapshot], Figure | None]] = {
    "progress": _progress,
    "promise": _promise,
    "latency": _latency,
    "trust": _trust,
}


def _figure(draw: Callable[..., None], *, panels: int = 1) -> Figure:
    """Return a figure whose panels are each as wide as a column of a paper.

    draw: is given the axes of the panels.
    """
    figure = Figure(figsize=(3.6 * panels, 2.7), dpi=300, layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = np.atleast_1d(figure.subplots(1, panels))
    draw(*all_axes)
    for axes in all_axes:
        axes.grid(color="#e2e8f0", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
