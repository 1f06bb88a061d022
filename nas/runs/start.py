"""Starting a run: from checked inputs to a run folder, and the search in it."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.base.errors import SpecError, StorageError
from nas.base.files import dump_yaml
from nas.base.formats import format_duration
from nas.base.machine import describe_environment
from nas.base.object_store import is_remote, location, remove, storage_errors
from nas.execution.observer import Observer
from nas.runs.check import NewRun, check_new_run
from nas.runs.drive import drive
from nas.runs.forecast import Forecast, forecast
from nas.runs.forecast_prose import sentences
from nas.runs.given_images import GivenImages, given_images
from nas.runs.given_network import GivenNetwork, given_network
from nas.runs.lock import run_lock
from nas.runs.open_study import drop_study, make_study
from nas.runs.own_backbones import OWN_BACKBONES, describe_own_backbones
from nas.runs.prepare import DEVICE, PRIOR, SearchInputs, take_over
from nas.runs.progress_bar import watched
from nas.runs.resume import write_plan
from nas.runs.retrain.budget import share_budget
from nas.runs.retrain.in_search import end_in_full_trainings
from nas.runs.run import CHECKPOINTS, Run, open_run
from nas.runs.run_file import RunFile
from nas.spec.runner import Runner, given_runner, with_overrides
from nas.spec.search_plan import SearchPlan
from nas.spec.space import SearchSpace
from nas.study.budget_curves import CURVES_FILE
from nas.study.calibration import FILE as CALIBRATION

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import Dataset

__all__ = ["foresee", "search"]

_UNTIL_TIME_IS_OVER = 10_000  # networks


def search(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None = None,
    data: str | tuple[Any, ...] | Dataset[Any] = "digits",
    out: str | Path = "runs/demo",
    *,
    trials: int | None = None,
    time_limit: float | None = None,
    budget: float | None = None,
    full_trainings: int | None = None,
    workers: int | None = None,
    calibration: str | Path | None = None,
    prior: str | Path | None = None,
    backbone: str | nn.Module | None = None,
    observer: Observer | None = None,
    progress: bool | None = None,
) -> Run:
    """Search a space and return the finished run.

    space: a space or its file.
    runner: a runner or its file; None takes the defaults.
    data: a name, see `nas.data.load_data`; or images in memory, which are kept in the run folder:
        (images, labels), a torch Dataset of (image, label), or two or three of these in a tuple,
        for training, validation and test. Without random transforms: a search has its own.
    out: a folder that does not exist yet, or is empty.
    trials: how many networks, hand-placed ones included; None: as the runner says, as below.
    time_limit: seconds to search.
    budget: seconds in all, shared between searching and full trainings.
    full_trainings: how many, behind the search.
    workers: how many networks are trained side by side.
    calibration: a folder of `calibrate` for the same space, data and proxy: its trainings are the
        first of the search, and its verdict stands beside every front. Or one of its curves, for
        the same images and backbone: trainings are as long as they advise, unless the runner says
        how long.
    prior: rules of another search (`nas explain --prior`), for the sampler `pareto` alone.
    backbone: in the place of the space's: a name, or a network in memory. A copy of that is
        searched with its own weights, which are not trained further before; its head must fit the
        data. It is trained in this process, and asked for again by `nas.resume`.
    observer: hears what happens; None: nobody does.
    progress: whether a bar is shown; None: in notebooks and terminals, unless there is an observer.

    Raises SpecError for a fault of any of them, before anything is written.
    """
    out = Path(out)
    asked = {
        "search.trials": trials,
        "search.time_limit": time_limit,
        "search.budget": budget,
        "search.full_trainings": full_trainings,
        "workers": workers,
    }
    plan = tuple(f"{key}={value}" for key, value in asked.items() if value is not None)
    runner = with_overrides(given_runner(runner), plan, "nas.search")
    with (
        given_images(data) as images,
        given_network(space, runner, backbone, images.source) as given,
    ):
        new = check_new_run(
            given.space, given.runner, images.source, out, calibration=calibration, prior=prior
        )
        kept = given.keep(_with_own_folder(new.file, out), out)
        new = replace(new, file=images.keep(kept, out))
        _make_folder(new, out, given, images)
    with watched(observer, progress) as audience:
        return _search(open_run(out), new, given.notes, audience)


def _search(run: Run, new: NewRun, notes: Sequence[str], observer: Observer) -> Run:
    """Search in a folder that was made, and return the run as it then is."""
    out = run.path
    for note in (*notes, *new.notes):
        observer.stage(note)
    with run_lock(out):
        try:
            run = _with_shared_budget(run, new, observer)
            observer.stage("timing some training steps")
            for line in sentences(forecast(new, run.file, out)):
                observer.stage(line)
            drive(SearchInputs(run, new.candidates, new.profile, new.data), observer)
        except SpecError:
            # Found out late, such as weights that cannot be had: the folder is free again.
            if not len(run.trials()):
                drop_study(run)
                shutil.rmtree(out)
                remove(run.checkpoints)
            raise
    end_in_full_trainings(run, observer)
    return run


def foresee(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None = None,
    data: str = "digits",
    out: str | Path = "runs/demo",
    *,
    calibration: str | Path | None = None,
    prior: str | Path | None = None,
) -> tuple[Forecast, tuple[str, ...]]:
    """Return what `search` would do, and what it would say before, without doing it.

    The arguments are those of `search`. Images are decoded, and kept for it; no run is made.
    Raises SpecError as `search` does.
    """
    out = Path(out)
    new = check_new_run(space, runner, data, out, calibration=calibration, prior=prior)
    file, notes = _share(new, out)
    return forecast(new, file, out), (*new.notes, *notes)


def _with_shared_budget(run: Run, new: NewRun, observer: Observer) -> Run:
    """Return the run with a time limit and full trainings, where it was given a budget.

    Raises SpecError for one that is too small.
    """
    if run.file.search.budget is None:
        return run
    observer.stage("timing a full training")
    file, notes = _share(replace(new, file=run.file), run.path)
    for line in notes:
        observer.stage(line)
    write_plan(run.path, file)
    return open_run(run.path)


def _share(new: NewRun, out: Path) -> tuple[RunFile, tuple[str, ...]]:
    """Return the file with its budget shared, and what is to be said of it.

    Raises SpecError for a budget that is too small.
    """
    file, plan = new.file, new.file.search
    if plan.budget is None:
        return file, ()
    task = file.task_on(len(new.data["classes"]))
    share = share_budget(Run(out, new.space, file), new.candidates.plains()[0][0], task)
    shared: dict[str, Any] = {
        "time_limit": share.search,
        "full_trainings": share.full_trainings,
    }
    if plan.trials == SearchPlan().trials:  # a budget counts, unless a number was asked for
        shared["trials"] = _UNTIL_TIME_IS_OVER
    search = plan.model_copy(update=shared)
    return file.model_copy(update={"search": search}), (
        f"{format_duration(share.search)} to search, then {share.full_trainings} full trainings of "
        f"about {format_duration(share.each)}; they tell networks apart that differ by about "
        f"{share.resolved:.1f} points",
    )


def _with_own_folder(file: RunFile, out: Path) -> RunFile:
    """Make a folder for one run's weights in object storage, so that runs of one name share none.

    Raises SpecError when nothing can be written there.
    """
    if file.checkpoints is None:
        return file
    url = f"{file.checkpoints.rstrip('/')}/{out.name}-{secrets.token_hex(4)}"
    folder = location(url)
    try:
        with storage_errors(folder):
            if not is_remote(folder):  # file://: another folder of a shared file system
                folder.mkdir(parents=True)
            (folder / "run.txt").write_text(f"{out.name}\n", encoding="utf-8")
    except (StorageError, OSError) as error:
        raise SpecError(f"checkpoints: {error}; name a bucket that can be written to") from None
    return file.model_copy(update={"checkpoints": url})


def _make_folder(new: NewRun, out: Path, given: GivenNetwork, images: GivenImages) -> None:
    """Make the run folder whole: beside its place first, then moved there."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        building.chmod(0o755)
        try:
            _fill_folder(new, building, out)
            given.put(building)
            images.put(building)
            if out.exists():
                out.rmdir()
            building.rename(out)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"run folder {out} cannot be made: {error.strerror or error}") from None


def _fill_folder(new: NewRun, building: Path, out: Path) -> None:
    """Write what a run begins with. out: where the folder will be."""
    file, begun = new.file, new.begun
    (building / "space.yaml").write_text(dump_yaml(new.space))
    (building / "run.yaml").write_text(dump_yaml(file))
    environment = describe_environment(new.data)
    own = describe_own_backbones(new.space.backbones, len(new.data["classes"]))
    if own:
        environment[OWN_BACKBONES] = own
    (building / "environment.json").write_text(json.dumps(environment, indent=1))
    if begun is not None:
        shutil.copyfile(begun.path / DEVICE, building / DEVICE)
        kept = location(file.checkpoints) if file.checkpoints else building / CHECKPOINTS
        take_over(begun.checkpoints, kept)
        shutil.copyfile(begun.path.parent / CALIBRATION, building / CALIBRATION)
    if new.curves is not None:
        new.curves.write(building / CURVES_FILE)
    if new.profile is not None:
        new.profile.write(building / DEVICE)
    if new.rules is not None:
        new.rules.write(building / PRIOR)
    make_study(building, out, new.space, file, begun)
