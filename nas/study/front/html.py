"""A front as a table for a notebook."""

from __future__ import annotations

from nas.base.html import html_paragraphs, html_table
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.verdict import judge

__all__ = ["front_html"]

_MOST = 60  # rows; a front of more is for a page


def front_html(front: ParetoFront) -> str:
    """Return the answer of a front, and the table of its members and hand-placed networks."""
    verdict = judge(front)
    if not len(front):
        return html_paragraphs(verdict.lines[-1:])
    shown = front.points[:_MOST]
    figures = [point.format_figures(front.figure) for point in shown]
    names = list(dict.fromkeys(name for row in figures for name in row))
    rows = [
        [
            point.title,
            point.architecture.summary,
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
