"""The progress of full trainings: a bar for each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from nas.cli.output.formats import format_clock

if TYPE_CHECKING:
    from nas.runs.retrain.plan import RetrainPlan
    from nas.runs.retrain.pool import ProgressReport
    from nas.study.full_training import FullTraining
    from nas.training.full import FullTrainingJob

__all__ = ["RetrainWatcher", "watch_retrain"]


@contextmanager
def watch_retrain(screen: Console) -> Iterator[RetrainWatcher]:
    """Show full trainings while the context is open; it gives the watcher that does."""
    if not screen.is_terminal or screen.quiet:
        yield RetrainWatcher(screen)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as progress:
        yield _TrainingBars(screen, progress)


class RetrainWatcher:
    """The watcher that prints a line for every look at the validation images."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self.total = 0
        self.done = 0
        self.began_at = time.monotonic()
        self._quarter = 0

    def say(self, text: str) -> None:
        """Print a line behind the clock."""
        self.screen.print(f"{format_clock(time.monotonic() - self.began_at)}  {text}")

    def begin(self, planned: RetrainPlan) -> None:
        """Say what will be trained."""
        jobs = planned.jobs
        self.total = len(jobs)
        if planned.done:
            self.stage(f"{len(planned.done)} trainings are there already and are not made again")
        if planned.test_images is None:
            self.stage("the data brings no test part: validation images will have to judge")
        if jobs:
            threads = jobs[0].about.threads
            self.stage(
                f"{len(jobs)} trainings, {min(planned.workers, len(jobs))} side by side with "
                f"{threads} threads: {jobs[0].about.description}"
            )

    # As a Watcher

    def stage(self, text: str) -> None:
        self.say(text)

    def step(self, done: int, total: int) -> None:
        quarter = 4 * done // max(1, total)
        if quarter != self._quarter:
            self._quarter = quarter
            self.say(f"  {done}/{total} images read")

    def began(self, job: FullTrainingJob) -> None:
        self.say(f"{_describe_job(job)} begins")

    def progressed(self, job: FullTrainingJob, progress: ProgressReport) -> None:
        if "accuracy" in progress:
            figures = _describe_figures(job, progress)
            self.say(f"{_describe_job(job)}  {figures}  ({_time_left(progress)} left)")

    def ended(self, job: FullTrainingJob, result: FullTraining) -> None:
        self.done += 1
        if result.failure is not None:
            text = f"FAILED: {result.failure}"
        else:
            # Test figures come with the others at the end: nothing is to be stopped by them.
            assert result.loss is not None and result.accuracy is not None
            figure = f"{job.task.figure.title} {result.accuracy:.2%}"
            text = f"done: validation loss {result.loss:.4f}, {figure}"
        self.say(f"[{self.done}/{self.total}] {_describe_job(job)} {text}")

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        self.say(f"{_describe_job(job)}: its process was {reason}; it goes on from its checkpoint")


class _TrainingBars(RetrainWatcher):
    """The watcher of a terminal: a bar for each training."""

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
        self._bars[job.about.name] = self.progress.add_task(
            _describe_job(job), figures="", total=None
        )

    def progressed(self, job: FullTrainingJob, progress: ProgressReport) -> None:
        bar = self._bars[job.about.name]
        self.progress.update(bar, completed=progress["epoch"], total=progress["of"])
        if "accuracy" in progress:
            self.progress.update(bar, figures=_describe_figures(job, progress))

    def ended(self, job: FullTrainingJob, result: FullTraining) -> None:
        self.progress.remove_task(self._bars.pop(job.about.name))
        super().ended(job, result)


def _describe_job(job: FullTrainingJob) -> str:
    name = job.about.reference or f"trial {job.about.trial}"
    return f"{name} seed {job.about.seed}"


def _describe_figures(job: FullTrainingJob, progress: ProgressReport) -> str:
    return (
        f"epoch {progress['epoch']:.4g}/{progress['of']:g}  loss {progress['loss']:.4f}  "
        f"{job.task.figure.title} {progress['accuracy']:.2%}"
    )


def _time_left(progress: ProgressReport) -> str:
    return format_clock(
        progress["seconds"] * (progress["of"] - progress["epoch"]) / max(progress["epoch"], 1e-9)
    )
