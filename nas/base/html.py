"""Small pieces of HTML for notebooks: every text is escaped, and nothing is styled or run.

A notebook has its own colours, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_paragraphs", "html_table"]


def html_table(headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table whose first cell of each row names the row.

    headings: of the columns; empty: it has no row of them.
    """
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    head = f"<thead><tr>{head}</tr></thead>" if headings else ""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return f"<table>{above}{head}<tbody>{body}</tbody></table>"


def html_paragraphs(lines: Iterable[str]) -> str:
    """Return texts as paragraphs."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)
