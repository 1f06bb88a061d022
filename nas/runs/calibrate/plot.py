"""Pictures of a calibration: the proxy against full training."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nas.base.files import write_whole
from nas.spec.architecture import PLAIN
from nas.study.calibration import Calibration, Trust

__all__ = ["draw_calibration"]

_CLEAR, _UNCLEAR = "#c2410c", "#94a3b8"
_MARKERS = "os^Dv<>ph*X"
_KINDS = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be185d", "#4d7c0f")


def draw_calibration(
    truth: NDArray[np.float64],
    quality: NDArray[np.float64],
    groups: Mapping[str, NDArray[np.float64]],
    calibration: Calibration,
    path: Path,
) -> None:
    """Draw what a proxy says of each network against full training, and its bias.

    truth: (n, s), accuracy of full training, in points.
    quality: (n, t), of the proxy at the budget of the search.
    groups: of each kind of block, (n,), its share of each network.
    calibration: what was made of them.
    path: the picture, a PNG.
    """
    figure = Figure(figsize=(11, 5.4), dpi=150)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.075, right=0.985, top=0.87, bottom=0.24, wspace=0.3)
    trust = calibration.searched
    figure.text(
        0.012,
        0.915,
        f"{trust.name}, {trust.budget} ({trust.cost:.1%} of the cost), against full training of "
        f"{calibration.networks} networks\n({calibration.full}): {calibration.space} on "
        f"{calibration.data}",
        fontsize=11,
        fontweight="bold",
        parse_math=False,
    )
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    _draw_agreement(left, truth, quality, groups, calibration)
    _draw_bias(right, trust)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
    text = "\n".join(textwrap.wrap(" ".join([calibration.verdict, *calibration.warnings]), 150))
    figure.text(0.012, 0.02, text, fontsize=9, va="bottom", linespacing=1.4)
    with write_whole(path) as temporary:
        figure.savefig(temporary)


def _draw_agreement(
    axes: Axes,
    truth: NDArray[np.float64],
    quality: NDArray[np.float64],
    groups: Mapping[str, NDArray[np.float64]],
    calibration: Calibration,
) -> None:
    """Draw each network by full training over the proxy, marked by its main kind of block."""
    shares = np.array(list(groups.values()))
    for number, name in enumerate(groups):
        mine = (shares.argmax(axis=0) == number) & (shares.sum(axis=0) > 0)
        axes.errorbar(
            np.nanmean(quality[mine], axis=1),
            np.nanmean(truth[mine], axis=1),
            yerr=_bar(calibration),
            linestyle="none",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=6,
            elinewidth=0.8,
            color=_KINDS[number % len(_KINDS)],
            label=f"mostly {name}" if name != PLAIN else name,
        )
    axes.set_xlabel("by the proxy: validation loss, negated")
    axes.set_ylabel(f"by full training: validation {calibration.figure}, %")
    axes.legend(frameon=False, fontsize=8)


def _draw_bias(axes: Axes, trust: Trust) -> None:
    """Draw by how much the proxy favours each kind of block, with intervals."""
    rows = [(name, item) for name, item in trust.bias.items() if item.value is not None]
    for number, (_, item) in enumerate(rows):
        assert item.value is not None
        ends = [item.value if end is None else end for end in (item.low, item.high)]
        clear = item.low is not None and ends[0] * ends[1] > 0  # one network alone tells nothing
        axes.plot(ends, [number, number], color=_CLEAR if clear else _UNCLEAR, linewidth=2)
        axes.plot(item.value, number, "o", color=_CLEAR if clear else _UNCLEAR)
    axes.axvline(0, color="#334155", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("rank error, share of all networks (favoured: above 0)")


def _bar(calibration: Calibration) -> float:
    """Return a standard deviation of full training: of its seeds, and of the choice of images."""
    of_seeds = calibration.seed_noise / np.sqrt(calibration.seeds)
    return float(np.hypot(of_seeds, calibration.image_noise or 0.0))
