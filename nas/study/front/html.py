"""A front and its points as tables for a notebook."""

from __future__ import annotations

import math

from nas.base.formats import (
    format_count,
    format_mean_percent,
    format_milliseconds,
    format_probability,
)
from nas.base.html import html_paragraphs, html_table
from nas.spec.architecture import PLAIN
from nas.spec.task import Figure
from nas.spec.width import describe_reference
from nas.study.front.answer import summarise_blocks
from nas.study.front.front import Front
from nas.study.front.point import Point
from nas.study.front.verdict import judge

__all__ = ["front_html", "point_html"]

_MOST = 60  # rows; a front of more is for a page


def front_html(front: Front) -> str:
    """Return the answer of a front, and the table of its members and hand-placed networks."""
    verdict = judge(front)
    if not len(front):
        return html_paragraphs(verdict.lines[-1:])
    shown = front.points[:_MOST]
    figures = [_figures(point, front.figure) for point in shown]
    names = list(dict.fromkeys(name for row in figures for name in row))
    rows = [
        [
            _name(point),
            summarise_blocks(point.architecture),
            "yes" if point.on_front else "",
            *[row.get(name, "") for name in names],
        ]
        for point, row in zip(shown, figures, strict=True)
    ]
    left = len(front) - len(shown)
    more = [f"{left} more are left out; nas report shows all."] if left else []
    return (
        html_paragraphs(verdict.answer)
        + html_table(["network", "blocks", "on the front", *names], rows)
        + html_paragraphs(more)
    )


def point_html(point: Point) -> str:
    """Return the figures of one network, and which block stands where.

    Without the figure of its task, whose name its front alone knows.
    """
    rows = list(_figures(point, None).items())
    return html_table([], rows, _name(point)) + point.architecture._repr_html_()


def _name(point: Point) -> str:
    if point.reference == PLAIN:
        return "plain backbone"
    if point.reference is None:
        return point.name
    return f"{point.name}, {describe_reference(point.reference)}"


def _figures(point: Point, figure: Figure | None) -> dict[str, str]:
    """Return what is known of a network: name -> figure as it is read."""
    figures = {
        "latency, ms": ("~" if point.latency_predicted else "")
        + format_milliseconds(point.latency_ms),
    }
    if not math.isnan(point.gain_loss):
        unit = "points" if point.believed.in_points else "loss"
        plain = point.reference == PLAIN
        figures[f"gain by full training, {unit}"] = str(point.believed)
        figures["better"] = "" if plain else format_probability(point.p_better)
    if not math.isnan(point.loss_saved):
        figures["loss saved"] = f"{point.loss_saved:+.4f}"
    if figure is not None:
        figures[f"{figure.title}, %"] = f"{point.accuracy * 100:.2f}"
    if figure is not None and point.retrained_seeds:
        figures[f"{figure.title} by full training, %"] = format_mean_percent(
            point.retrained_accuracy, point.retrained_spread
        )
    figures["parameters"] = format_count(point.params)
    return figures
