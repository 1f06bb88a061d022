"""`nas retrain`: full training of winners and of hand-placed networks."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from nas.base.errors import SpecError
from nas.cli.options import Json, RunFolder
from nas.cli.output.console import make_console, print_json
from nas.cli.output.retrain_plan import describe_time, print_plan
from nas.cli.output.retrain_progress import RetrainWatcher, watch_retrain
from nas.cli.parsing import with_option

if TYPE_CHECKING:
    from nas.runs.retrain.plan import RetrainPlan
    from nas.runs.run import Run
    from nas.spec.recipe import Retrain
    from nas.spec.runner import Runner
    from nas.study.full_training import FullTraining

__all__ = ["retrain"]


def retrain(
    run: RunFolder,
    trial: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=0, help="Number of a network; may be repeated."),
    ] = None,
    front: Annotated[
        bool, typer.Option("--front", help="Train all networks on the front.")
    ] = False,
    references: Annotated[
        bool | None,
        typer.Option(help="Train the hand-placed networks, too; default: with --front."),
    ] = None,
    rivals: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="N",
            help="With --front: the plain network widened to the latency of the N that gain most.",
        ),
    ] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=1000, help="Seeds to train each network with; default: 3."
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0.01,
            help="Epochs of each training; default: 200, with the recipe modern 300.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=1e-9,
            help="Highest learning rate; default: 0.05 for a batch of 256.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Recipe of full training: paper or modern.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key retrain.*; may be repeated."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1024, help="Trainings side by side.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained, and how long.")
    ] = False,
    json_: Json = False,
) -> None:
    """Train networks fully with several seeds, and test each of them once, at its end.

    Interrupted or killed, the same command goes on; what is done is not done again.
    Example: nas retrain runs/demo --front --epochs 50
    """
    from nas.cli.output.front_table import print_front
    from nas.runs.retrain import retrain as trainings
    from nas.runs.retrain.plan import plan_retraining
    from nas.runs.run import open_run

    opened = open_run(run)
    if rivals:
        _check_rivals(beside_front=front and references is not False, dry_run=dry_run)
    options = {"seeds": seeds, "epochs": epochs, "learning_rate": learning_rate, "recipe": recipe}
    given = {
        f"--{key.replace('_', '-')}": f"retrain.{key}={value}"
        for key, value in options.items()
        if value is not None
    }
    section = _with_settings(opened.file, given, set_ or [])
    first_process = trainings.is_first_process()
    screen = make_console(quiet=not first_process)
    # What is for machines stands alone on standard output.
    beside = make_console(stderr=True, quiet=screen.quiet) if json_ else screen
    try:
        with _interrupt_on_terminate(), watch_retrain(beside) as watcher:
            if rivals:
                _enter_rivals(opened, rivals, watcher)
            planned = plan_retraining(
                opened,
                trial or (),
                front=front,
                references=references,
                section=section,
                workers=workers,
                watcher=watcher,
            )
            results = [] if dry_run else _carry_out(planned, watcher)
    except SpecError as error:
        if first_process:
            raise
        raise typer.Exit(error.exit_code) from None  # one of torchrun's processes has said it
    except KeyboardInterrupt:  # and SIGTERM
        beside.print("stopped; nothing is lost: the same command goes on")
        raise typer.Exit(130) from None
    if dry_run:
        print_plan(planned, screen, as_json=json_)
        return
    if not json_:
        screen.print()
        print_front(opened.front(), screen)
        screen.print(f"\nWritten: {run}/retrained, {run}/front.csv, {run}/trials.parquet")
    elif first_process:
        print_json([result.to_dict() for result in results])
    if not any(result.complete for result in results):
        raise typer.Exit(1)


def _carry_out(planned: RetrainPlan, watcher: RetrainWatcher) -> list[FullTraining]:
    """Say how long it takes, and train."""
    from nas.runs.retrain import retrain as trainings

    watcher.begin(planned)
    if planned.jobs and trainings.is_alone():
        for line in describe_time(planned, planned.seconds()):
            watcher.stage(line)
    return trainings.retrain(planned, watcher)


def _check_rivals(*, beside_front: bool, dry_run: bool) -> None:
    """Raise SpecError where rivals cannot be entered by this command or this process."""
    from nas.runs.retrain.retrain import is_alone

    if not beside_front:
        raise SpecError("--rivals stand beside a front: add --front, without --no-references")
    if dry_run:
        raise SpecError("--rivals are measured and trained for a moment: leave out --dry-run")
    if not is_alone():
        raise SpecError("--rivals cannot be entered under torchrun: enter them without it first")


def _enter_rivals(run: Run, most: int, watcher: RetrainWatcher) -> None:
    """Let the study have so many widened plain networks; those that it has count."""
    from nas.execution.observer import Narrator
    from nas.runs.retrain.width_rivals import WidthRivals

    trials = [point.trial for point in run.front().points]
    WidthRivals(run, Narrator(watcher.stage)).enter(trials, most=most)


def _with_settings(file: Runner, given: Mapping[str, str], settings: Sequence[str]) -> Retrain:
    """Return the run's own section with what the command line says. Raises SpecError.

    given: the setting of an option of its own, by that option.
    """
    from nas.spec.runner import Runner, check_regime, with_overrides

    for text in settings:
        if not text.strip().startswith("retrain."):
            raise SpecError(f"--set {text!r}: only keys retrain.* can be set here")
    runner = Runner(retrain=file.retrain)
    for option, setting in given.items():
        runner = with_option(runner, option, setting)
    section = with_overrides(runner, tuple(settings)).retrain
    if section.weights != file.retrain.weights:
        check_regime(Runner(regime=file.regime, retrain=section), "--set")
    return section


@contextmanager
def _interrupt_on_terminate() -> Iterator[None]:
    """Stop on SIGTERM as on Ctrl-C: schedulers ask with it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
