"""Going on with a run that was stopped, killed or should be longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.base.errors import SpecError
from nas.base.files import dump_yaml, parse, write_whole
from nas.execution.observer import EventLog, Observer
from nas.runs.drive import drive
from nas.runs.elapsed import RENEWED, read_spent
from nas.runs.given_network import check_held, check_runs_in_process
from nas.runs.lock import run_lock
from nas.runs.own_backbones import check_own_backbones
from nas.runs.prepare import SearchInputs
from nas.runs.progress_bar import watched
from nas.runs.retrain.budget import share_budget
from nas.runs.retrain.in_search import end_in_full_trainings
from nas.runs.run import Run, open_run
from nas.runs.run_file import RunFile
from nas.study.full_training import select_main_recipe

if TYPE_CHECKING:
    from torch import nn

__all__ = ["resume", "write_plan"]


def resume(
    path: str | Path,
    *,
    trials: int | None = None,
    time_limit: float | None = None,
    budget: float | None = None,
    full_trainings: int | None = None,
    workers: int | None = None,
    backbone: nn.Module | None = None,
    observer: Observer | None = None,
    progress: bool | None = None,
) -> Run:
    """Go on with a run and return it when its search has ended.

    path: the run folder.
    trials: a new total of networks; None: as run.yaml says.
    time_limit: seconds from now; None: as run.yaml says, less what a search that was killed, or
        one with a budget, has used up.
    budget: seconds more, shared between searching and full trainings as the run's file says.
    full_trainings: a new total of them; None: as run.yaml says.
    workers: at most; None: as run.yaml says.
    backbone: the network that the search was given in memory, as it was then.
    observer: hears what happens; None: nobody does.
    progress: whether a bar is shown; None: in notebooks and terminals, unless there is an observer.

    Raises SpecError for what is refused, which changes nothing.
    """
    run = open_run(path, backbone=backbone)
    check_held(run)
    notes = check_own_backbones(run)
    if trials is not None:
        evaluated = int(run.trials().counted.sum())
        if trials < evaluated:
            raise SpecError(
                f"{run.path} has {evaluated} networks, more than {trials}; name a new total above "
                "that"
            )
    file = _change_plan(run.file, trials, time_limit, workers, full_trainings)
    if run.in_process:
        check_runs_in_process(file)
    if budget is not None:
        file = _with_more(run, file, budget)
    renewed = any(more is not None for more in (trials, time_limit, budget))
    with watched(observer, progress) as audience:
        for note in notes:
            audience.stage(note)
        longer = _go_on(run, file, audience, renewed=renewed)
        end_in_full_trainings(longer, audience)
    return longer


def _go_on(run: Run, file: RunFile, observer: Observer, *, renewed: bool) -> Run:
    """Search on as a file says, and return the run.

    renewed: whether the search is longer than it was.
    Raises SpecError for what is refused, which changes nothing.
    """
    with run_lock(run.path):
        before, undo = len(run.trials()), _remember(run.path)
        if file != run.file:
            write_plan(run.path, file)
        longer = open_run(run.path)
        try:
            inputs = SearchInputs.read(longer)
            if renewed:
                EventLog(run.path / "events.log").stage(RENEWED)
            drive(inputs, observer, spent=read_spent(longer))
        except SpecError:
            if len(longer.trials()) == before:
                undo()
            raise
    return longer


def _remember(path: Path) -> Callable[[], None]:
    """Return what makes plan and events of a run what they are now: a finished run stays one."""
    plan, events = path / "run.yaml", path / "events.log"
    planned, length = plan.read_bytes(), events.stat().st_size if events.exists() else None

    def undo() -> None:
        with write_whole(plan) as temporary:
            temporary.write_bytes(planned)
        if length is None:
            events.unlink(missing_ok=True)
        else:
            os.truncate(events, length)

    return undo


def _change_plan(
    file: RunFile,
    trials: int | None,
    time_limit: float | None,
    workers: int | None,
    full_trainings: int | None,
) -> RunFile:
    """Return the file of a longer run, checked; None leaves what it says."""
    plan = file.search.model_dump()
    plan |= {"trials": trials} if trials is not None else {}
    plan |= {"time_limit": time_limit} if time_limit is not None else {}
    plan |= {"full_trainings": full_trainings} if full_trainings is not None else {}
    changed = file.model_dump() | {"search": plan}
    changed |= {"workers": workers} if workers is not None else {}
    return parse(RunFile, changed, "nas resume")


def _with_more(run: Run, file: RunFile, budget: float) -> RunFile:
    """Return the file with so many seconds more: its share to search, the rest in full trainings.

    A search with a budget goes on past its number of networks, until its time is over.
    """
    plan = file.search.model_copy(update={"budget": budget, "full_trainings": None})
    given = replace(run, file=file.model_copy(update={"search": plan}))
    inputs = SearchInputs.read(run)
    share = share_budget(given, inputs.candidates.plains()[0][0], inputs.task)
    done = len(select_main_recipe(run.retrained()))
    longer = {
        "budget": budget,
        "time_limit": share.search,
        "full_trainings": max(done, file.search.full_trainings or 0) + share.full_trainings,
    }
    return file.model_copy(update={"search": file.search.model_copy(update=longer)})


def write_plan(path: Path, file: RunFile) -> None:
    """Write run.yaml, whole."""
    with write_whole(path / "run.yaml") as temporary:
        temporary.write_text(dump_yaml(file))
