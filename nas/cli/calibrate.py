"""`nas calibrate`: how far a proxy can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from nas.cli.options import (
    DataSource,
    Json,
    ResumableFolder,
    RunnerSettings,
    SpaceFile,
    Workers,
)
from nas.cli.output.console import make_console, plain_table, print_json
from nas.cli.output.search_progress import watch_search

if TYPE_CHECKING:
    from nas.runs.calibrate.result import Calibration

__all__ = ["calibrate"]


def calibrate(
    space: SpaceFile,
    data: DataSource = "digits",
    out: ResumableFolder = Path("runs/calibration"),
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
    workers: Workers = None,
    set_: RunnerSettings = None,
    json_: Json = False,
) -> None:
    """Train a sample of networks by the proxy and fully, and say how far they agree.

    Interrupted, the same command goes on.
    Example: nas calibrate search_spaces/mobilenetv2-small.yaml --data digits --out runs/calibration
    """
    from nas.runs.calibrate.calibrate import calibrate as carry_out
    from nas.spec.runner import load_runner

    settings = [*(set_ or []), *([f"workers={workers}"] if workers else [])]
    screen = make_console()
    try:
        with watch_search(screen) as observer:
            calibration = carry_out(
                space,
                load_runner(runner, tuple(settings)),
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
        print_json(calibration.model_dump())
        return
    _print_calibration(calibration, screen)
    screen.print(f"\nWritten: {out}/calibration.json, {out}/calibration.png")
    screen.print(f"Search with it: nas search {space} --data {data} --calibration {out} --out RUN")


def _print_calibration(calibration: Calibration, screen: Console) -> None:
    screen.print()
    screen.print(_table(calibration))
    by_loss = (
        "" if calibration.loss_ceiling is None else f" ({calibration.loss_ceiling:.2f} by loss)"
    )
    screen.print(
        f"Against {calibration.full}: accuracy {calibration.accuracy:.1f} %, between networks "
        f"±{calibration.spread:.2f}, between seeds ±{calibration.seed_noise:.2f} points; a perfect "
        f"proxy would reach Spearman {calibration.ceiling:.2f}{by_loss}, and "
        f"{calibration.best_ceiling:.2f} in the best quarter.",
        style="dim",
    )
    screen.print(
        "To order two networks that differ by half a point takes "
        f"{calibration.full_seeds_needed} seeds of full training."
    )
    for line in (calibration.verdict, *calibration.warnings):
        screen.print(line)


def _table(calibration: Calibration) -> Table:
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
