"""`nas calibrate`: how far a proxy can be trusted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from nas.cli.tables import console

if TYPE_CHECKING:
    from nas.runs.calibrate.result import Calibration

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("calibrate")(_calibrate)


def _calibrate(
    space: Annotated[Path, typer.Argument(help="Search space file.")],
    data: Annotated[str, typer.Option(metavar="DATA", help="As of nas search.")] = "digits",
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on with.")] = Path(
        "runs/calibration"
    ),
    runner: Annotated[Path | None, typer.Option(help="Runner file: the proxy is in it.")] = None,
    networks: Annotated[int, typer.Option(help="To train, the hand-placed ones among them.")] = 30,
    seeds: Annotated[int, typer.Option(help="To train each with.")] = 3,
    full_epochs: Annotated[
        float | None,
        typer.Option(min=0.01, help="Of full training; default: 40, from the backbone 3."),
    ] = None,
    full_weights: Annotated[
        Literal["random", "backbone"],
        typer.Option(help="What full training starts from, as retrain.weights."),
    ] = "random",
    scores: Annotated[bool, typer.Option(help="Compare zero-cost scores as well.")] = True,
    supernet: Annotated[
        list[Path] | None,
        typer.Option(help="Compare a supernet too: a folder of nas supernet; may be repeated."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one per core.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the runner; may be repeated."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Train a sample of networks by the proxy and fully, and say how far they agree.

    Interrupted, the same command goes on.
    Example: nas calibrate search_spaces/mobilenetv2-small.yaml --data digits --out runs/calibration
    """
    from nas.cli.progress import watched
    from nas.runs.calibrate.calibrate import calibrate
    from nas.spec.runner import load_runner

    overrides = [*(set_ or []), *([f"workers={workers}"] if workers else [])]
    screen = console()
    try:
        with watched(screen) as observer:
            found = calibrate(
                space,
                load_runner(runner, tuple(overrides)),
                data,
                out,
                networks=networks,
                seeds=seeds,
                full_epochs=full_epochs,
                full_weights=full_weights,
                scores=scores,
                supernets=supernet or (),
                observer=observer,
            )
    except KeyboardInterrupt:
        print("stopped; nothing finished is lost: the same command goes on")
        raise typer.Exit(130) from None
    if json_:
        json.dump(found.model_dump(), sys.stdout, indent=1)
        print()
        return
    screen.print()
    screen.print(_table(found))
    by_loss = "" if found.loss_ceiling is None else f" ({found.loss_ceiling:.2f} by loss)"
    screen.print(
        f"Against {found.full}: accuracy {found.accuracy:.1f} %, between networks "
        f"±{found.spread:.2f}, between seeds ±{found.seed_noise:.2f} points; a perfect proxy would "
        f"reach Spearman {found.ceiling:.2f}{by_loss}, and {found.best_ceiling:.2f} in the best "
        "quarter.",
        style="dim",
    )
    screen.print(
        "To order two networks that differ by half a point takes "
        f"{found.full_seeds_needed} seeds of full training."
    )
    for line in (found.verdict, *found.warnings):
        screen.print(line)
    screen.print(f"\nWritten: {out}/calibration.json, {out}/calibration.png")
    screen.print(f"Search with it: nas search {space} --data {data} --calibration {out} --out RUN")


def _table(found: Calibration) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("proxy")
    for name in ("cost", "Spearman", "by loss", "Kendall", "best quarter", "tells apart"):
        table.add_column(name, justify="right", no_wrap=True)
    for trust in (*found.proxies, *found.scores):
        apart = "never" if trust.apart is None else f"{trust.apart:.1f} points"
        table.add_row(
            f"{trust.name}, {trust.budget}" if trust.budget else trust.name,
            f"{trust.cost:.1%}",
            str(trust.spearman),
            str(trust.loss_spearman or "?"),
            str(trust.kendall),
            str(trust.best_kendall),
            apart,
        )
    return table
