"""Starting a run and going on with one: from checked inputs to written results."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.base.errors import MeasurementError, SpecError, StorageError
from nas.base.files import dump_yaml, parse, write_whole
from nas.base.machine import describe_environment
from nas.base.object_store import is_remote, location, remove, storage_errors
from nas.data import cached_data, open_data, resolve_source
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import EventLog, LatencyMachine, Observer, ObserverPair, SilentObserver
from nas.latency.profile import Profile, load_profile
from nas.latency.runtime import RUNTIMES, device_named
from nas.latency.source import measure_architectures
from nas.latency.survey import is_of_this_machine
from nas.models.candidates import Candidates, check_names, load_space
from nas.models.cost import cost
from nas.runs.calibrate.result import FILE as CALIBRATION
from nas.runs.calibrate.result import load_calibration
from nas.runs.executors import EXECUTORS, latency_machine
from nas.runs.loggers import check_loggers, with_loggers
from nas.runs.open_study import drop_study, make_study, open_study, study_name
from nas.runs.prepare import (
    DEVICE,
    PRIOR,
    make_search,
    prepare,
    run_profile,
    split_options,
    take_over,
)
from nas.runs.run import (
    CHECKPOINTS,
    FINISHED,
    Run,
    RunFile,
    journal_stamp,
    open_run,
    run_lock,
    train_resolution,
)
from nas.spec.architecture import Architecture
from nas.spec.prior import Rules, load_rules
from nas.spec.runner import Runner, load_runner
from nas.spec.space import SearchSpace
from nas.strategy.storage.store import Store
from nas.study.front.plot import draw_front
from nas.study.record import FAILED, PRUNED, Record
from nas.study.trials import Trials
from nas.training.checkpoint import drop_training, training_path
from nas.training.proxies import PROXIES

__all__ = ["resume", "search", "write_results"]


def search(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None = None,
    data: str = "digits",
    out: str | Path = "runs/demo",
    *,
    calibration: str | Path | None = None,
    prior: str | Path | None = None,
    observer: Observer | None = None,
) -> Run:
    """Search a space and return the finished run.

    runner: a runner or its file; None takes the defaults. data: see `nas.data.load_data`.
    out: a folder that does not exist yet, or is empty. calibration: a folder of `calibrate` for
    the same space, data and proxy: its trainings are the first of the search, and its verdict
    stands beside every front. prior: rules of another search (`nas explain --prior`), for
    `pareto` alone. Raises SpecError before anything is written, for a fault of any of them.
    """
    out = Path(out)
    _refuse_taken(out)
    if isinstance(space, SearchSpace):
        check_names(space)
    else:
        space = load_space(space)
    if not isinstance(runner, Runner):
        runner = load_runner(runner)
    check_loggers(runner.loggers)
    file = RunFile(**runner.model_dump(), data=resolve_source(data), study=study_name(out, runner))
    candidates = Candidates(space)
    profile = _profile_of(file.device, candidates)
    cached = cached_data(file.data, train_resolution(space, file), **split_options(file))
    images = open_data(cached)
    if file.proxy.subset is not None:
        images.check_subset(file.proxy.subset)
    file = _settled(file, len(images.train))
    _check_limits(candidates, len(images.classes))
    key = {
        "key": cached.name,
        "classes": list(images.classes),
        "images": len(images.train),
    }
    begun = _begun(Path(calibration), space, file, key) if calibration else None
    if begun is not None:
        file = file.model_copy(update={"begun": len(begun.trials())})
    rules = load_rules(prior) if prior is not None else None
    if rules is not None and file.search.sampler != "pareto":
        raise SpecError(f"a prior: sampler {file.search.sampler!r} cannot use it; use pareto")
    if file.checkpoints is not None:
        file = file.model_copy(update={"checkpoints": _own_folder(file.checkpoints, out.name)})
    _create(out, space, file, profile, key, begun, rules)
    run = open_run(out)
    with run_lock(out):
        try:
            _carry_out(run, candidates, observer)
        except SpecError:
            # Found out late, such as weights that cannot be had: the folder is free again.
            if not len(run.trials()):
                drop_study(run)
                shutil.rmtree(out)
                remove(run.checkpoints)
            raise
    return run


def resume(
    path: str | Path,
    *,
    trials: int | None = None,
    time_limit: float | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> Run:
    """Go on with a run that was stopped, killed or should be longer. Raises SpecError.

    trials: a new total; time_limit: seconds from now. None leaves what run.yaml says.
    """
    run = open_run(path)
    if trials is not None:
        have = int((run.trials()["repeat"] == 0).sum())
        if trials < have:
            raise SpecError(
                f"{run.path} has {have} networks, more than {trials}; name a new total above that"
            )
    plan = run.file.search.model_dump()
    plan |= {"trials": trials} if trials is not None else {}
    plan |= {"time_limit": time_limit} if time_limit is not None else {}
    changed = run.file.model_dump() | {"search": plan}
    changed |= {"workers": workers} if workers is not None else {}
    file = parse(RunFile, changed, "nas resume")
    with run_lock(run.path):
        if file != run.file:
            before = len(run.trials())
            _write_plan(run.path, file)
        longer = open_run(path)
        try:
            _carry_out(longer, Candidates(longer.space), observer)
        except SpecError:  # what is refused changes nothing
            if file != run.file and len(longer.trials()) == before:
                _write_plan(run.path, run.file)
            raise
    return longer


def _write_plan(path: Path, file: RunFile) -> None:
    with write_whole(path / "run.yaml") as temporary:
        temporary.write_text(dump_yaml(file))


def _own_folder(url: str, name: str) -> str:
    """A new folder for one run's weights in object storage, so that runs of one name share none.

    Raises SpecError when nothing can be written there.
    """
    url = f"{url.rstrip('/')}/{name}-{secrets.token_hex(4)}"
    folder = location(url)
    try:
        with storage_errors(folder):
            if not is_remote(folder):  # file://: another folder of a shared file system
                folder.mkdir(parents=True)
            (folder / "run.txt").write_text(f"{name}\n")
    except (StorageError, OSError) as error:
        raise SpecError(f"checkpoints: {error}; name a bucket that can be written to") from None
    return url


def _settled(file: RunFile, images: int) -> RunFile:
    """What is left to the program, decided for so many training images."""
    file = file.model_copy(update={"proxy": file.proxy.settled(images)})
    if PROXIES[file.proxy.kind].shared:  # a further seed would score the same weights again
        once = file.search.model_copy(update={"confirm_seeds": 1})
        file = file.model_copy(update={"search": once})
    return file


def _check_limits(candidates: Candidates, num_classes: int) -> None:
    """Raises SpecError when no network of the space can keep its limits."""
    limits = candidates.space.constraints
    costs = [cost(item, num_classes=num_classes) for item in candidates.leanest()]
    for name in ("params", "macs"):
        limit, least = getattr(limits, name), min(getattr(item, name) for item in costs)
        if limit is not None and limit < least:
            raise SpecError(
                f"no network of space {candidates.space.name!r} keeps its limit of {limit:,.0f} "
                f"{name}: the smallest has {least:,}; raise constraints.{name} or take a "
                "smaller backbone"
            )


def _refuse_taken(out: Path) -> None:
    if (out / "run.yaml").exists():
        raise SpecError(f"{out} is a run already; go on with it (nas resume {out}) or name another")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError(f"{out} exists and is not empty; name a new folder for --out")


def _profile_of(device: str, candidates: Candidates) -> Profile | None:
    """The profile that a runner names, checked against the space; None for a runtime here.

    Raises SpecError.
    """
    if not device.endswith(".json"):
        try:
            RUNTIMES[device_named(device).runtime].version()
        except MeasurementError as error:
            raise SpecError(str(error)) from None
        return None
    profile = load_profile(device)
    for plain, sites in candidates.plains():
        branch = profile.branch(plain)
        for place in candidates.places(plain):
            profile.choices(branch, [site.name for site in place.sites], place.choices)
        assert sites
    return profile


def _begun(calibration: Path, space: SearchSpace, file: RunFile, data: dict[str, Any]) -> Run:
    """The run of the proxy in a calibration; raises SpecError when it is of anything else."""
    load_calibration(calibration)
    run = open_run(calibration / "proxy")
    compared = {
        "space": (run.space, space),
        "images": (run.environment["data"]["key"], data["key"]),
        "proxy": (
            run.file.proxy.model_copy(update={"seeds": 1}),
            file.proxy.model_copy(update={"seeds": 1}),
        ),
        "objectives": (run.file.search.objectives, file.search.objectives),
        "search.seed": (run.file.search.seed, file.search.seed),
        "device": (run.file.device, file.device),
    }
    for name, (theirs, ours) in compared.items():
        if theirs != ours:
            raise SpecError(
                f"{calibration} was calibrated with another {name}; search with the same, or "
                "calibrate again"
            )
    return run


def _create(
    out: Path,
    space: SearchSpace,
    file: RunFile,
    profile: Profile | None,
    data: dict[str, Any],
    begun: Run | None,
    rules: Rules | None,
) -> None:
    """Make the run folder whole: beside its place first, then moved there.

    begun: a run of the same space, data and proxy, whose trials this one goes on from.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        building.chmod(0o755)
        try:
            (building / "space.yaml").write_text(dump_yaml(space))
            (building / "run.yaml").write_text(dump_yaml(file))
            (building / "environment.json").write_text(
                json.dumps(describe_environment(data), indent=1)
            )
            if begun is not None:
                shutil.copyfile(begun.path / DEVICE, building / DEVICE)
                kept = location(file.checkpoints) if file.checkpoints else building / CHECKPOINTS
                take_over(begun.checkpoints, kept)
                shutil.copyfile(begun.path.parent / CALIBRATION, building / CALIBRATION)
            if profile is not None:
                profile.write(building / DEVICE)
            if rules is not None:
                rules.write(building / PRIOR)
            make_study(building, out, space, file, begun)
            if out.exists():
                out.rmdir()
            building.rename(out)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"run folder {out} cannot be made: {error.strerror or error}") from None


def _carry_out(run: Run, candidates: Candidates, observer: Observer | None) -> None:
    """Search as a run says, heard by those that it names."""
    observer = ObserverPair(observer or SilentObserver(), EventLog(run.path / "events.log"))
    with with_loggers(run, observer) as heard:
        _searched(run, candidates, heard)


def _searched(run: Run, candidates: Candidates, observer: Observer) -> None:
    """Prepare what is missing, search, and write what was found, however it ends."""
    with open_study(run, observer.stage) as store, latency_machine(run, observer) as place:
        _search_at(place, run, candidates, store, observer)


def _search_at(
    place: LatencyMachine, run: Run, candidates: Candidates, store: Store, observer: Observer
) -> None:
    """place: where latencies are measured."""
    started = time.monotonic()
    spec = prepare(run, candidates, observer, place)
    core = make_search(run, candidates, store, started)
    executor = EXECUTORS[run.file.executor](run, store, spec)
    placed = len(candidates.references())
    if run.file.search.trials < placed:
        observer.stage(f"the {placed} hand-placed networks come first, and are more than asked for")
    observer.stage("searching")
    try:
        executor.run(core, observer)
        observer.stage(f"searched: {core.stop_reason}")
        _drop_trainings(spec.checkpoints, core.records)
        if spent := run.spent(Trials.of(core.records)):
            observer.stage(str(spent))
        _measure_front(run, spec, store, observer, place)
    except BaseException:
        with contextlib.suppress(StorageError):
            write_results(run)
        raise
    write_results(run)
    observer.stage(f"{FINISHED} {core.stop_reason}")


def _drop_trainings(checkpoints: Path, records: Sequence[Record]) -> None:
    """Remove what would be needed to train a network further that was stopped or has failed.

    Once, at the end: a search that is killed before finds every training of a PAUSED trial.
    """
    for record in records:
        if record.state in {PRUNED, FAILED}:
            drop_training(training_path(checkpoints, record.digest, record.seed))


def _measure_front(
    run: Run, spec: EvaluatorSpec, store: Store, observer: Observer, place: LatencyMachine
) -> None:
    """Measure front and references once more, in turn, now that no training runs beside.

    A corrected latency can bring another network to the front, which is then measured too.
    On another machine than the profile's, latencies stay what they are: predictions.
    """
    profile = run_profile(run)
    if profile and not place(is_of_this_machine, profile):
        observer.stage(f"latencies stay predictions for {profile.device} on {profile.processor}")
        return
    final: dict[str, tuple[float, float]] = {}
    while True:
        points = run.front_of(Trials.of(store.records())).points
        new = [point.architecture for point in points if not point.latency_final]
        if not new:
            return
        observer.stage(f"measuring the latency of {len(new)} networks on the idle machine")
        latencies = place(
            measure_architectures,
            new,
            anchor=Architecture.from_json(spec.anchor),
            anchor_ms=spec.anchor_ms,
            num_classes=len(run.environment["data"]["classes"]),
            device=device_named(spec.device),
        )
        final |= {digest: (found.latency_ms, found.spread) for digest, found in latencies.items()}
        store.note_final(final)


def write_results(run: Run) -> None:
    """trials.parquet, front.csv and front.png, each whole."""
    stamp = journal_stamp(run.path) if run.file.address is None else ""
    trials = Trials.of(Store(run.study, writable=False).records())
    trials.write(run.path / "trials.parquet", stamp=stamp)
    front = run.front_of(trials)
    front.write_csv(run.path / "front.csv")
    draw_front(front, run.path / "front.png", title=run.title)
