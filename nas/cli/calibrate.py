"""`nas calibrate`: how far a proxy can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

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
from nas.cli.output.calibration_tables import print_calibration, print_curves
from nas.cli.output.console import make_console, print_json
from nas.cli.output.search_progress import watch_search
from nas.cli.parsing import settings_of_weights, with_option

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
    if json_:
        print_json((found if curves else calibration).model_dump())
        return
    if curves:
        print_curves(found, screen)
        names = ["curves.json", "curves.png", "curves.svg"]
    else:
        print_calibration(calibration, screen)
        names = ["calibration.json", "calibration.png"]
    screen.print("\nWritten: " + ", ".join(f"{out}/{name}" for name in names))
    screen.print(f"Search with it: {search} --calibration {out} --out RUN", soft_wrap=True)


def _refuse_others(curves: bool, of_curves: dict[str, object], others: dict[str, object]) -> None:
    """Raise SpecError for an option of the other kind of calibration."""
    given = [name for name, value in (others if curves else of_curves).items() if value is not None]
    if given and curves:
        raise SpecError(f"{given[0]} is of a calibration without --curves; leave one of them out")
    if given:
        raise SpecError(f"{given[0]} is of curves; give --curves with it")
