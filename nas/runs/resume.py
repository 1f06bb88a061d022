"""Going on with a run that was stopped, killed or should be longer."""

from __future__ import annotations

from pathlib import Path

from nas.base.errors import SpecError
from nas.base.files import dump_yaml, parse, write_whole
from nas.execution.observer import Observer
from nas.runs.drive import drive
from nas.runs.lock import run_lock
from nas.runs.prepare import SearchInputs
from nas.runs.run import Run, RunFile, open_run

__all__ = ["resume"]


def resume(
    path: str | Path,
    *,
    trials: int | None = None,
    time_limit: float | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> Run:
    """Go on with a run and return it when its search has ended.

    path: the run folder.
    trials: a new total of networks; None: as run.yaml says.
    time_limit: seconds from now; None: as run.yaml says.
    workers: at most; None: as run.yaml says.
    observer: hears what happens; None: nobody does.

    Raises SpecError for what is refused, which changes nothing.
    """
    run = open_run(path)
    if trials is not None:
        evaluated = int((run.trials()["repeat"] == 0).sum())
        if trials < evaluated:
            raise SpecError(
                f"{run.path} has {evaluated} networks, more than {trials}; name a new total above "
                "that"
            )
    file = _change_plan(run.file, trials, time_limit, workers)
    with run_lock(run.path):
        if file != run.file:
            before = len(run.trials())
            _write_plan(run.path, file)
        longer = open_run(path)
        try:
            drive(SearchInputs.read(longer), observer)
        except SpecError:  # what is refused changes nothing
            if file != run.file and len(longer.trials()) == before:
                _write_plan(run.path, run.file)
            raise
    return longer


def _change_plan(
    file: RunFile, trials: int | None, time_limit: float | None, workers: int | None
) -> RunFile:
    """Return the file of a longer run, checked; None leaves what it says."""
    plan = file.search.model_dump()
    plan |= {"trials": trials} if trials is not None else {}
    plan |= {"time_limit": time_limit} if time_limit is not None else {}
    changed = file.model_dump() | {"search": plan}
    changed |= {"workers": workers} if workers is not None else {}
    return parse(RunFile, changed, "nas resume")


def _write_plan(path: Path, file: RunFile) -> None:
    with write_whole(path / "run.yaml") as temporary:
        temporary.write_text(dump_yaml(file))
