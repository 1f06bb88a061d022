"""A plan of full trainings: which networks, by which recipe, and how long that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from nas.base.formats import format_duration
from nas.cli.output.console import plain_table, print_json
from nas.spec.width import describe_reference

if TYPE_CHECKING:
    from nas.runs.retrain.plan import RetrainPlan
    from nas.study.full_training import FullTraining

__all__ = ["describe_time", "print_plan"]


def print_plan(planned: RetrainPlan, screen: Console, *, as_json: bool) -> None:
    """Print which networks would be trained, by which recipe, and about how long."""
    jobs, seconds = [job.about for job in planned.jobs], planned.seconds()
    if as_json:
        rows = [{"trial": job.trial, "reference": job.reference, "seed": job.seed} for job in jobs]
        recipe = jobs[0].recipe if jobs else None
        about = {"seconds": seconds, "workers": planned.workers, "recipe": recipe}
        print_json({"trainings": rows, "done": len(planned.done)} | about)
        return
    screen.print(_plan_table(jobs))
    if jobs:
        screen.print(jobs[0].description)
    tested = (
        f"tested once on {planned.test_images:,} images"
        if planned.test_images
        else "the data brings no test part"
    )
    together = f"{planned.workers} side by side"
    if planned.processes > 1:
        together = f"each shared by {planned.processes} processes"
    screen.print(
        f"{len(jobs)} trainings ({len(planned.done)} are there already), {together}, {tested}"
    )
    for line in describe_time(planned, seconds):
        screen.print(line)


def describe_time(planned: RetrainPlan, seconds: float) -> list[str]:
    """Say how long it takes, and what takes less where a long recipe meets few images."""
    lines = [
        f"about {format_duration(seconds)} of training steps; starting and looking at images come "
        "on top"
    ]
    epochs = planned.shorter(seconds)
    if epochs is not None:
        lines.append(
            f"{planned.jobs[0].recipe.epochs:g} epochs are a recipe for large sets; half an hour "
            f"takes: --epochs {epochs}, fewer networks (--trial N), or --seeds 1"
        )
    return lines


def _plan_table(jobs: Sequence[FullTraining]) -> Table:
    """Make a table with a row for each network."""
    table = plain_table()
    for name in ("trial", "network", "resolution", "seeds"):
        table.add_column(name)
    by_network: dict[str, list[FullTraining]] = {}
    for job in jobs:
        by_network.setdefault(job.digest, []).append(job)
    for same in by_network.values():
        first = same[0]
        name = "searched"
        if first.reference:
            name = f"{first.reference} ({describe_reference(first.reference)})"
        seeds = ", ".join(str(job.seed) for job in same)
        table.add_row(str(first.trial), name, str(first.resolution), seeds)
    return table
