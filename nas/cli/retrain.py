"""`nas retrain`: full training of winners and of hand-placed networks."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from nas.cli.tables import console, print_front

if TYPE_CHECKING:
    from nas.runs.retrain.plan import RetrainPlan
    from nas.runs.retrain.pool import ProgressReport
    from nas.spec.recipe import Retrain
    from nas.study.full_training import FullTraining
    from nas.training.full import FullTrainingJob

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("retrain")(_retrain)


def _retrain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    trial: Annotated[
        list[int] | None, typer.Option(help="Number of a network; may be repeated.")
    ] = None,
    front: Annotated[bool, typer.Option("--front", help="All networks on the front.")] = False,
    references: Annotated[
        bool | None, typer.Option(help="The hand-placed ones too; default: with --front.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="To train each with; 3.")] = None,
    epochs: Annotated[float | None, typer.Option(help="200, with modern 300.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest; 0.05 for a batch of 256.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="paper or modern.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key retrain.*; may be repeated."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings side by side.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained, and how long.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Train networks fully with several seeds, and test each of them once, at its end.

    Interrupted or killed, the same command goes on; what is done is not done again.
    Example: nas retrain runs/demo --front --epochs 50
    """
    from nas.runs.retrain.plan import plan_retraining
    from nas.runs.retrain.retrain import is_first_process
    from nas.runs.retrain.retrain import retrain as carry_out
    from nas.runs.run import open_run

    opened = open_run(run)
    given = {"seeds": seeds, "epochs": epochs, "learning_rate": learning_rate, "recipe": recipe}
    overrides = [f"retrain.{key}={value}" for key, value in given.items() if value is not None]
    section = _section(opened.file.retrain, [*overrides, *(set_ or [])])
    screen = console(quiet=not is_first_process())
    # What is for machines stands alone on standard output.
    beside = console(stderr=True, quiet=screen.quiet) if json_ else screen
    try:
        with _stopped_by_terminate(), _watched(beside) as watcher:
            planned = plan_retraining(
                opened,
                trial or (),
                front=front,
                references=references,
                section=section,
                workers=workers,
                watcher=watcher,
            )
            if not dry_run:
                watcher.total = len(planned.jobs)
                _tell_plan(planned, watcher)
                found = carry_out(planned, watcher)
    except KeyboardInterrupt:  # and SIGTERM
        beside.print("stopped; nothing is lost: the same command goes on")
        raise typer.Exit(130) from None
    if dry_run:
        _show_plan(planned, screen, json_)
        return
    if json_:
        if is_first_process():
            print(json.dumps([item.to_dict() for item in found], indent=1))
    else:
        screen.print()
        print_front(opened.front(), screen)
        screen.print(f"\nWritten: {run}/retrained, {run}/front.csv, {run}/trials.parquet")
    if not any(item.complete for item in found):
        raise typer.Exit(1)


def _section(section: Retrain, overrides: list[str]) -> Retrain:
    """The run's own section with what the command line says. Raises SpecError."""
    from nas.base.errors import SpecError
    from nas.spec.runner import Runner, with_overrides

    for text in overrides:
        if not text.strip().startswith("retrain."):
            raise SpecError(f"--set {text!r}: only keys retrain.* can be set here")
    return with_overrides(Runner(retrain=section), tuple(overrides)).retrain


def _tell_plan(planned: RetrainPlan, watcher: _Lines) -> None:
    jobs = len(planned.jobs)
    if planned.done:
        watcher.stage(f"{len(planned.done)} trainings are there already and are not made again")
    if planned.test_images is None:
        watcher.stage("the data brings no test part: validation images will have to judge")
    if jobs:
        threads = planned.jobs[0].about.threads
        watcher.stage(
            f"{jobs} trainings, {min(planned.workers, jobs)} side by side with {threads} threads: "
            f"{planned.jobs[0].about.description}"
        )


def _show_plan(planned: RetrainPlan, screen: Console, json_: bool) -> None:
    seconds = planned.seconds()
    if json_:
        rows = [
            {"trial": job.about.trial, "reference": job.about.reference, "seed": job.about.seed}
            for job in planned.jobs
        ]
        recipe = planned.jobs[0].about.recipe if planned.jobs else None
        about = {"seconds": seconds, "workers": planned.workers, "recipe": recipe}
        print(json.dumps({"trainings": rows, "done": len(planned.done)} | about, indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "network", "resolution", "seeds"):
        table.add_column(name)
    seeds: dict[str, list[str]] = {}
    for job in planned.jobs:
        seeds.setdefault(job.about.digest, []).append(str(job.about.seed))
    for digest, mine in seeds.items():
        one = next(job.about for job in planned.jobs if job.about.digest == digest)
        name = f"{one.reference} (hand-placed)" if one.reference else "searched"
        table.add_row(str(one.trial), name, str(one.resolution), ", ".join(mine))
    screen.print(table)
    if planned.jobs:
        screen.print(planned.jobs[0].about.description)
    tested = (
        f"tested once on {planned.test_images:,} images"
        if planned.test_images
        else "the data brings no test part"
    )
    screen.print(
        f"{len(planned.jobs)} trainings ({len(planned.done)} are there already), "
        f"{planned.workers} side by side, {tested}: about {_clock(seconds)} of training steps; "
        "starting and looking at images come on top"
    )


@contextmanager
def _stopped_by_terminate() -> Iterator[None]:
    """As by Ctrl-C: schedulers ask with SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _watched(screen: Console) -> Iterator[_Lines]:
    if not screen.is_terminal or screen.quiet:
        yield _Lines(screen)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as progress:
        yield _Bars(screen, progress)


class _Lines:
    """A line for every look at the validation images, with the clock at its start."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self.total = 0
        self.done = 0
        self.began_at = time.monotonic()
        self._quarter = 0

    def say(self, text: str) -> None:
        self.screen.print(f"{_clock(time.monotonic() - self.began_at)}  {text}")

    # Watcher

    def stage(self, text: str) -> None:
        self.say(text)

    def step(self, done: int, total: int) -> None:
        quarter = 4 * done // max(1, total)
        if quarter != self._quarter:
            self._quarter = quarter
            self.say(f"  {done}/{total} images read")

    def began(self, job: FullTrainingJob) -> None:
        self.say(f"{_named(job)} begins")

    def progressed(self, job: FullTrainingJob, told: ProgressReport) -> None:
        if "accuracy" in told:
            self.say(f"{_named(job)}  {_figures(told)}  ({_left(told)} left)")

    def ended(self, job: FullTrainingJob, found: FullTraining) -> None:
        self.done += 1
        if found.failure is not None:
            text = f"FAILED: {found.failure}"
        else:
            # Test figures come with the others at the end: nothing is to be stopped by them.
            assert found.loss is not None and found.accuracy is not None
            text = f"done: validation loss {found.loss:.4f}, accuracy {found.accuracy:.2%}"
        self.say(f"[{self.done}/{self.total}] {_named(job)} {text}")

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        self.say(f"{_named(job)}: its process was {reason}; it goes on from its checkpoint")


class _Bars(_Lines):
    """The same on a terminal: a bar for each training."""

    def __init__(self, screen: Console, progress: Progress) -> None:
        super().__init__(screen)
        self.progress = progress
        self._bars: dict[str, TaskID] = {}
        self._reading: TaskID | None = None

    def step(self, done: int, total: int) -> None:
        if self._reading is None:
            self._reading = self.progress.add_task("reading images", figures="")
        self.progress.update(self._reading, completed=done, total=total, visible=done < total)

    def began(self, job: FullTrainingJob) -> None:
        self._bars[job.about.name] = self.progress.add_task(_named(job), figures="", total=None)

    def progressed(self, job: FullTrainingJob, told: ProgressReport) -> None:
        bar = self._bars[job.about.name]
        self.progress.update(bar, completed=told["epoch"], total=told["of"])
        if "accuracy" in told:
            self.progress.update(bar, figures=_figures(told))

    def ended(self, job: FullTrainingJob, found: FullTraining) -> None:
        self.progress.remove_task(self._bars.pop(job.about.name))
        super().ended(job, found)


def _named(job: FullTrainingJob) -> str:
    name = job.about.reference or f"trial {job.about.trial}"
    return f"{name} seed {job.about.seed}"


def _figures(told: ProgressReport) -> str:
    return (
        f"epoch {told['epoch']:.4g}/{told['of']:g}  loss {told['loss']:.4f}  "
        f"accuracy {told['accuracy']:.2%}"
    )


def _left(told: ProgressReport) -> str:
    return _clock(told["seconds"] * (told["of"] - told["epoch"]) / max(told["epoch"], 1e-9))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:2}:{rest:02}"
