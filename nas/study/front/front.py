"""A front as users hold it: it answers questions, and shows itself in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.study.front.html import front_html
from nas.study.front.pareto_front import ParetoFront

if TYPE_CHECKING:
    import matplotlib.figure

__all__ = ["Front"]


class Front(ParetoFront):
    """A Pareto front with its picture and its table.

    What it says is computed from a `ParetoFront`, and what draws it needs what it says. So both
    stand below this class, which alone knows them.
    """

    def _repr_html_(self) -> str:
        return front_html(self)

    def plot(self, title: str = "") -> matplotlib.figure.Figure:
        """Return the picture that `front.png` in a run folder is, for a notebook or a paper."""
        from nas.study.front.plot import front_figure  # matplotlib

        return front_figure(self, title)
