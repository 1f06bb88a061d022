"""Further networks of a search that full trainings have surprised."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from nas.execution.observer import Observer
from nas.runs.drive import drive
from nas.runs.lock import run_lock
from nas.runs.prepare import SearchInputs
from nas.runs.retrain.plan import worker_count
from nas.runs.run import Run
from nas.study.full_training import select_main_recipe

__all__ = ["search_further"]

_FURTHER = 4  # networks


def search_further(run: Run, observer: Observer) -> int:
    """Search on for a few networks, by a belief that has seen full trainings.

    Returns how many full trainings no longer fit into the run's budget, which this takes time of;
    0 without one. Only `pareto` learns from full trainings; with others nothing is done.
    Raises SpecError, StorageError as a resumed search does.
    """
    plan = run.file.search
    if plan.sampler != "pareto":
        return 0
    evaluated = int((run.trials()["repeat"] == 0).sum())
    more = plan.model_copy(update={"trials": evaluated + _FURTHER, "time_limit": None})
    observer.stage(f"another network looks best now: searching on for {_FURTHER} more")
    began = time.monotonic()
    with run_lock(run.path):
        # run.yaml stays as it is: these are beside its plan.
        longer = replace(run, file=run.file.model_copy(update={"search": more}))
        drive(SearchInputs.read(longer), observer)
    return 0 if plan.budget is None else _fewer(run, time.monotonic() - began)


def _fewer(run: Run, seconds: float) -> int:
    """Return how many full trainings take as long, side by side as they go."""
    each = [training.seconds for training in select_main_recipe(run.retrained())]
    if not each or not sum(each):
        return 0
    workers = worker_count(run.file.retrain, len(each))
    return math.ceil(seconds * workers * len(each) / sum(each))
