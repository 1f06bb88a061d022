"""Further networks of a search that full trainings have surprised."""

from __future__ import annotations

from dataclasses import replace

from nas.execution.observer import Observer
from nas.runs.drive import drive
from nas.runs.lock import run_lock
from nas.runs.prepare import SearchInputs
from nas.runs.run import Run

__all__ = ["search_further"]

_FURTHER = 4  # networks


def search_further(run: Run, observer: Observer) -> None:
    """Search on for a few networks, by a belief that has seen full trainings.

    Only `pareto` learns from full trainings; with others nothing is done.
    Raises SpecError, StorageError as a resumed search does.
    """
    plan = run.file.search
    if plan.sampler != "pareto":
        return
    evaluated = int(run.trials().counted.sum())
    more = plan.model_copy(update={"trials": evaluated + _FURTHER, "time_limit": None})
    observer.stage(f"another network looks best now: searching on for {_FURTHER} more")
    with run_lock(run.path):
        # run.yaml stays as it is: these are beside its plan.
        longer = replace(run, file=run.file.model_copy(update={"search": more}))
        drive(SearchInputs.read(longer), observer)
