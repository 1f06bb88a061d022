"""A calibration as tables: a proxy beside full training, and gains over the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from nas.cli.output.console import plain_table

if TYPE_CHECKING:
    from nas.study.budget_curves import CurvePoint, CurvesFound
    from nas.study.calibration import Calibration, Estimate

__all__ = ["print_calibration", "print_curves"]


def print_calibration(calibration: Calibration, screen: Console) -> None:
    """Print how far each proxy agrees with full training, and the verdict."""
    screen.print()
    screen.print(_calibration_table(calibration))
    by_images = (
        ""
        if calibration.image_noise is None
        else f", by the choice of images ±{calibration.image_noise:.2f}"
    )
    screen.print(
        f"Against {calibration.full}: {calibration.figure} {calibration.accuracy:.1f} %, between "
        f"networks ±{calibration.spread:.2f}, between seeds ±{calibration.seed_noise:.2f}"
        f"{by_images} points. {_ceilings(calibration)}",
        style="dim",
    )
    if calibration.judging == "other images":
        screen.print(
            "Each side was judged by halves of the validation images that the other was not.",
            style="dim",
        )
    screen.print(
        "To order two networks that differ by half a point takes "
        f"{calibration.full_seeds_needed} seeds of full training."
    )
    for line in (calibration.verdict, *calibration.warnings):
        screen.print(line)


def _ceilings(calibration: Calibration) -> str:
    """Say what a perfect proxy would reach, with the intervals that so few networks leave."""
    by_loss = calibration.loss_ceiling_interval or calibration.loss_ceiling
    among_best = calibration.best_ceiling_interval or calibration.best_ceiling

    def shown(value: Estimate | float) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    return (
        f"A perfect proxy would reach Spearman {calibration.best_possible}"
        + ("" if by_loss is None else f", by loss {shown(by_loss)}")
        + f", and Kendall {shown(among_best)} in the best quarter."
    )


def _calibration_table(calibration: Calibration) -> Table:
    table = plain_table()
    table.add_column("proxy")
    for name in ("cost", "Spearman", "by loss", "Kendall", "best quarter", "tells apart"):
        table.add_column(name, justify="right", no_wrap=True)
    for trust in (*calibration.proxies, *calibration.scores):
        table.add_row(
            f"{trust.name}, {trust.budget}" if trust.budget else trust.name,
            f"{trust.cost:.1%}",
            str(trust.spearman),
            str(trust.loss_spearman or "?"),
            str(trust.kendall),
            str(trust.best_kendall),
            "never" if trust.apart is None else f"{trust.apart:.1f} points",
        )
    return table


def print_curves(found: CurvesFound, screen: Console) -> None:
    """Print the gain of each network over the budget, and which budget a search should take."""
    screen.print()
    screen.print(_curve_table(found))
    noise = "unknown" if found.noise is None else f"{found.noise:.3f}"
    screen.print(
        "Validation loss saved against plain, ± its standard deviation; * beyond chance, corrected "
        f"for {len(found.curves)} networks. One training has a noise of {noise}. "
        f"{found.trainings} trainings: {found.recipe}.",
        style="dim",
    )
    for line in found.lines:
        screen.print(line)


def _curve_table(found: CurvesFound) -> Table:
    table = plain_table()
    table.add_column("network")
    for epochs in found.budgets:
        table.add_column(f"{epochs:g} epochs", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for curve in found.curves:
        cells = {point.epochs: _gain_cell(point) for point in curve.gains}
        row = [cells.get(epochs, "-") for epochs in found.budgets]
        table.add_row(curve.network, *row, curve.verdict)
    return table


def _gain_cell(point: CurvePoint) -> str:
    noise = "" if point.deviation is None else f" ±{point.deviation:.3f}"
    beyond_chance = point.margin is not None and abs(point.gain) > point.margin
    return f"{point.gain:+.3f}{noise}{'*' if beyond_chance else ' '}"
