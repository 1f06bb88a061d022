"""`nas calibrate`: how far a proxy can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from nas.base.errors import SpecError
from nas.cli.completion import runner_names
from nas.cli.options import (
    DataSource,
    GivenWeights,
    Head,
    Json,
    ResumableFolder,
    RunnerSettings,
    SpaceFile,
    TaskOption,
    WeightsMatch,
    Workers,
)
from nas.cli.output.console import make_console, plain_table, print_json
from nas.cli.output.search_progress import watch_search
from nas.cli.parsing import settings_of_weights, with_option

if TYPE_CHECKING:
    from nas.study.budget_curves import CurvePoint, CurvesFound
    from nas.study.calibration import Calibration, Estimate

__all__ = ["calibrate"]


def calibrate(
    space: SpaceFile,
    data: DataSource = "digits",
    out: ResumableFolder = Path("runs/calibration"),
    runner: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", autocompletion=runner_names, help="Runner file: the proxy is in it."
        ),
    ] = None,
    task: TaskOption = None,
    head: Head = None,
    weights: GivenWeights = None,
    weights_match: WeightsMatch = None,
    networks: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=100_000,
            help="Networks to train, the hand-placed ones among them.",
        ),
    ] = 30,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=1000,
            help="Seeds to train each network with; default: 3, with --curves 2.",
        ),
    ] = None,
    full_epochs: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0.01,
            help="Epochs of full training; default: 40, from trained weights 3.",
        ),
    ] = None,
    full_weights: Annotated[
        Literal["random", "backbone"] | None,
        typer.Option(
            help="Weights that full training starts from; default: random, where trained weights "
            "are given backbone."
        ),
    ] = None,
    scores: Annotated[
        bool, typer.Option(help="Compare zero-cost scores as well (classification).")
    ] = True,
    supernet: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Compare a supernet too: a folder of nas supernet; may be repeated.",
        ),
    ] = None,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="Measure instead how the gain of hand-placed networks grows with the epochs.",
        ),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER", min=1, help="Epochs of the shortest training of --curves; default: 3."
        ),
    ] = None,
    doublings: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=10, help="How often --curves doubles these epochs; default: 2."
        ),
    ] = None,
    workers: Workers = None,
    set_: RunnerSettings = None,
    json_: Json = False,
) -> None:
    """Train a sample of networks by the proxy and fully, and say how far they agree.

    With --curves: train hand-placed networks and halves from scratch for b, 2b, 4b epochs, and say
    where each crosses the plain network, and which budget a search should take.

    Interrupted, the same command goes on.
    Example: nas calibrate search_spaces/mobilenetv2-small.yaml --data digits --out runs/calibration
    """
    from nas.runs.calibrate.calibrate import calibrate as carry_out
    from nas.runs.calibrate.curves import calibrate_curves
    from nas.spec.runner import load_runner

    settings = [
        *settings_of_weights(weights, weights_match),
        *(set_ or []),
        *([f"workers={workers}"] if workers else []),
    ]
    screen = make_console()
    loaded = load_runner(runner, tuple(settings))
    for option, key, value in (("--task", "task", task), ("--head", "head", head)):
        if value is not None:
            loaded = with_option(loaded, option, f"{key}={value}")
    _refuse_others(
        curves,
        {"--budget": budget, "--doublings": doublings},
        {"--full-epochs": full_epochs, "--supernet": supernet, "--weights": weights},
    )
    try:
        with watch_search(screen) as observer:
            if curves:
                found = calibrate_curves(
                    space,
                    loaded,
                    data,
                    out,
                    budget=3.0 if budget is None else budget,
                    doublings=2 if doublings is None else doublings,
                    seeds=2 if seeds is None else seeds,
                    observer=observer,
                )
            else:
                calibration = carry_out(
                    space,
                    loaded,
                    data,
                    out,
                    networks=networks,
                    seeds=3 if seeds is None else seeds,
                    full_epochs=full_epochs,
                    full_weights=full_weights,
                    scores=scores,
                    supernets=supernet or (),
                    observer=observer,
                )
    except KeyboardInterrupt:
        print("stopped; nothing finished is lost: the same command goes on")
        raise typer.Exit(130) from None
    named = [f"--{name} {value}" for name, value in (("task", task), ("head", head)) if value]
    search = " ".join(["nas search", str(space), *named, f"--data {data}"])
    if curves:
        _show_curves(found, screen, search, out, json_)
        return
    if json_:
        print_json(calibration.model_dump())
        return
    _print_calibration(calibration, screen)
    screen.print(f"\nWritten: {out}/calibration.json, {out}/calibration.png")
    screen.print(f"Search with it: {search} --calibration {out} --out RUN", soft_wrap=True)


def _refuse_others(curves: bool, of_curves: dict[str, object], others: dict[str, object]) -> None:
    """Raise SpecError for an option of the other kind of calibration."""
    given = [name for name, value in (others if curves else of_curves).items() if value is not None]
    if given and curves:
        raise SpecError(f"{given[0]} is of a calibration without --curves; leave one of them out")
    if given:
        raise SpecError(f"{given[0]} is of curves; give --curves with it")


def _show_curves(found: CurvesFound, screen: Console, search: str, out: Path, json_: bool) -> None:
    if json_:
        print_json(found.model_dump())
        return
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
    screen.print(f"\nWritten: {out}/curves.json, {out}/curves.png, {out}/curves.svg")
    screen.print(f"Search with it: {search} --calibration {out} --out RUN", soft_wrap=True)


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
    told = point.margin is not None and abs(point.gain) > point.margin
    return f"{point.gain:+.3f}{noise}{'*' if told else ' '}"


def _print_calibration(calibration: Calibration, screen: Console) -> None:
    screen.print()
    screen.print(_table(calibration))
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
