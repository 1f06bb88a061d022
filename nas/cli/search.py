"""`nas search`: search a space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nas.cli.completion import backbone_names, data_kinds, runner_names
from nas.cli.options import (
    BackboneArguments,
    Budget,
    FullTrainings,
    GivenWeights,
    Head,
    RunnerSettings,
    SpaceFile,
    TaskOption,
    TimeLimit,
    Trials,
    WeightsMatch,
    Workers,
)
from nas.cli.output.console import make_console
from nas.cli.parsing import (
    parse_arguments,
    parse_focus,
    parse_validation,
    settings_of_weights,
    with_option,
)

if TYPE_CHECKING:
    from nas.execution.observer import Observer
    from nas.runs.run import Run

__all__ = ["search"]


def search(
    space: SpaceFile,
    data: Annotated[
        str,
        typer.Option(
            autocompletion=data_kinds,
            metavar="DATA",
            help="Your images: digits, cifar10, folder:PATH, imagenet:PATH, voc:PATH, "
            "coco:IMAGES,FILE.json, "
            "yolo:DATA.yaml, market1501:PATH, arrays:FILE.npz, cluttered-digits, cifar100, "
            "fashion-mnist, svhn, hf:NAME, module:function or FILE.py:function.",
        ),
    ] = "digits",
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Run folder to make.")] = Path(
        "runs/demo"
    ),
    runner: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            autocompletion=runner_names,
            help="Runner file, or the name of one; default: local.",
        ),
    ] = None,
    task: TaskOption = None,
    head: Head = None,
    regime: Annotated[
        Literal["scratch", "finetune"] | None,
        typer.Option(help="Will networks be trained from random weights, or from trained ones?"),
    ] = None,
    weights: GivenWeights = None,
    weights_match: WeightsMatch = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=backbone_names,
            help="A backbone instead of the space's; may be repeated.",
        ),
    ] = None,
    backbone_args: BackboneArguments = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder that nas calibrate made: its trainings come first, its curves say how "
            "long to train.",
        ),
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rules of another search: nas explain RUN --prior FILE."),
    ] = None,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    budget: Budget = None,
    full_trainings: FullTrainings = None,
    focus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW..HIGH",
            help="Range where you will deploy: latency_ms=5..10. Networks outside it count as no "
            "gain.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Seed of everything random.")
    ] = None,
    workers: Workers = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Folder of <class>/<images> to validate on; or a share of the training images.",
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Such a folder of test images: they judge full trainings, once, at the end.",
        ),
    ] = None,
    set_: RunnerSettings = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what would be trained, how long, on how much disk, and what it tells.",
        ),
    ] = False,
) -> None:
    """Search a space and show the front.

    Example: nas search search_spaces/mobilenetv2-small.yaml --data digits --out runs/demo
    """
    from nas.cli.foreground import carry_out
    from nas.models.candidates import check_names, load_space
    from nas.models.fitting_sites import with_fitting_sites
    from nas.runs import start
    from nas.runs.check_network import CLASSES
    from nas.runs.forecast_prose import sentences
    from nas.runs.reading import settle_task
    from nas.spec.runner import load_runner
    from nas.spec.space import with_backbones

    # With the settings, which it may allow or contradict.
    asked = [f"regime={regime}"] if regime else []
    asked += settings_of_weights(weights, weights_match, regime)
    plan = load_runner(runner, (*asked, *(set_ or ())))
    for option, key, value in (
        ("--task", "task", task),
        ("--head", "head", head),
        ("--trials", "search.trials", trials),
        ("--time-limit", "search.time_limit", time_limit),
        ("--budget", "search.budget", budget),
        ("--full-trainings", "search.full_trainings", full_trainings),
        ("--seed", "search.seed", seed),
        ("--focus", "search.focus", parse_focus(focus) if focus else None),
        ("--workers", "workers", workers),
        ("--validation", "validation", parse_validation(validation) if validation else validation),
        ("--test", "test", None if test is None else json.dumps(test, ensure_ascii=False)),
    ):
        if value is not None:
            plan = with_option(plan, option, f"{key}={value}")
    loaded, notes = load_space(space), list[str]()
    if backbone or backbone_args:
        loaded = with_backbones(loaded, backbone or (), parse_arguments(backbone_args))
        check_names(loaded)
    if backbone:
        loaded, notes = with_fitting_sites(loaded, settle_task(plan, data).task_on(CLASSES))

    if dry_run:
        foreseen, warnings = start.foresee(
            loaded, plan, data, out, calibration=calibration, prior=prior
        )
        _print_forecast((*notes, *warnings, *sentences(foreseen)))
        return

    def run(observer: Observer) -> Run:
        for note in notes:
            observer.stage(note)
        return start.search(
            loaded, plan, data, out, calibration=calibration, prior=prior, observer=observer
        )

    carry_out(out, run)


def _print_forecast(lines: Sequence[str]) -> None:
    screen = make_console()
    for line in lines:
        screen.print(line)
    screen.print("No run was made; the same command without --dry-run starts it.")
