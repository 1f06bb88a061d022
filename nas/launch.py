"""Starting a run and going on with one: from checked inputs to written results."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import Architecture
from nas.calibration import FILE as CALIBRATION
from nas.calibration import load_calibration
from nas.candidates import Candidates, check_names, load_space
from nas.costs import cost, cost_by_parts
from nas.data import cached_data, open_data, resolved_source
from nas.environment import describe_environment, usable_cores
from nas.errors import SpecError, StorageError
from nas.evaluator import EvaluatorSpec, best_device, prepare_backbone
from nas.executors import Both, EventLog, Executor, Observer, Place, Silent, here
from nas.executors.local import LocalExecutor
from nas.executors.worker import WorkerExecutor
from nas.files import dump_yaml, parse, write_whole
from nas.front import PLAIN
from nas.gauge import machine_of, measure_architectures, measure_device
from nas.latency.device import Device
from nas.latency.profile import Profile, load_profile
from nas.latency.runtime import RUNTIMES
from nas.latency.survey import is_here
from nas.loggers import check_loggers, logged
from nas.picture import draw_front
from nas.prior import Rules, load_rules
from nas.proxies import PROXIES
from nas.proxies.checkpoint import checkpoint_path, training_path
from nas.proxies.supernet_folder import SupernetFile, SupernetFolder
from nas.record import FAILED, PRUNED, Record
from nas.run import FINISHED, Run, RunFile, journal_stamp, locked, open_run, train_resolution
from nas.runner import Runner, load_runner
from nas.samplers.figures import SpaceFigures
from nas.search_core import Search
from nas.space import SearchSpace
from nas.store import Store
from nas.studies import (
    drop_study,
    exchange_of,
    make_study,
    opened_study,
    study_name,
    terms_of,
)
from nas.trials import Trials

if TYPE_CHECKING:  # Ray is imported where it is chosen
    from nas.executors.ray_tune import TuneExecutor

__all__ = ["EXECUTORS", "reopened", "resume", "search", "tuning", "worker_count"]

_IMBALANCED = 3.0
_CHECKPOINTS, _PRIOR = "checkpoints", "prior.json"
_DEVICE = "device.json"
"""In a run folder: the profile that latencies are predicted from, or the anchor's latency."""


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
    file = RunFile(**runner.model_dump(), data=resolved_source(data), study=study_name(out, runner))
    candidates = Candidates(space)
    profile = _profile_of(file.device, candidates)
    cached = cached_data(file.data, train_resolution(space, file), **_cut(file))
    classes = open_data(cached).classes
    _check_limits(candidates, len(classes))
    key = {"key": cached.name, "classes": list(classes)}
    begun = _begun(Path(calibration), space, file, key) if calibration else None
    rules = load_rules(prior) if prior is not None else None
    if rules is not None and file.search.sampler != "pareto":
        raise SpecError(f"a prior: sampler {file.search.sampler!r} cannot use it; use pareto")
    _create(out, space, file, profile, key, begun, rules)
    run = open_run(out)
    with locked(out):
        try:
            _carry_out(run, candidates, observer)
        except SpecError:
            # Found out late, such as weights that cannot be had: the folder is free again.
            if not len(run.trials()):
                drop_study(run)
                shutil.rmtree(out)
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
    plan = run.file.search.model_dump()
    plan |= {"trials": trials} if trials is not None else {}
    plan |= {"time_limit": time_limit} if time_limit is not None else {}
    changed = run.file.model_dump() | {"search": plan}
    changed |= {"workers": workers} if workers is not None else {}
    file = parse(RunFile, changed, "nas resume")
    with locked(run.path):
        if file != run.file:
            with write_whole(run.path / "run.yaml") as temporary:
                temporary.write_text(dump_yaml(file))
        run = open_run(path)
        _carry_out(run, Candidates(run.space), observer)
    return run


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
        RUNTIMES[Device.parse(device).runtime].version()
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
        "images": (run.environment["data"], data),
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


def _link(source: str, target: str) -> None:
    """Weights are only ever replaced, so two runs may share a file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


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
                shutil.copyfile(begun.path / _DEVICE, building / _DEVICE)
                shutil.copytree(
                    begun.path / _CHECKPOINTS, building / _CHECKPOINTS, copy_function=_link
                )
                shutil.copyfile(begun.path.parent / CALIBRATION, building / CALIBRATION)
            if profile is not None:
                profile.write(building / _DEVICE)
            if rules is not None:
                rules.write(building / _PRIOR)
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
    observer = Both(observer or Silent(), EventLog(run.path / "events.log"))
    with logged(run, observer) as heard:
        _searched(run, candidates, heard)


def _searched(run: Run, candidates: Candidates, observer: Observer) -> None:
    """Prepare what is missing, search, and write what was found, however it ends."""
    with opened_study(run) as store, _place(run, observer) as place:
        _search_at(place, run, candidates, store, observer)


def _search_at(
    place: Place, run: Run, candidates: Candidates, store: Store, observer: Observer
) -> None:
    """place: where latencies are measured."""
    started = time.monotonic()
    spec = _prepared(run, candidates, observer, place)
    core = _core(run, candidates, store, started)
    executor = EXECUTORS[run.file.executor](run, store, spec)
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
            _write_results(run)
        raise
    _write_results(run)
    observer.stage(f"{FINISHED} {core.stop_reason}")


def _core(run: Run, candidates: Candidates, store: Store, started: float) -> Search:
    classes = len(run.environment["data"]["classes"])
    try:
        return Search(
            candidates,
            run.file.search,
            store,
            rungs=1 if PROXIES[run.file.proxy.kind].shared else len(run.file.proxy.rungs),
            seeds=run.file.proxy.seeds,
            admit=_admission(run.space, _run_profile(run), num_classes=classes),
            figures=_figures(run, candidates, num_classes=classes),
            started=started,
        )
    except SpecError as error:
        raise SpecError(f"{run.path}: its study was made for another space ({error})") from None


def reopened(path: Path) -> Search:
    """The search of a run folder, as it stands; who goes on with it holds its lock."""
    run = open_run(path)
    store = Store(run.study, writable=True)
    return _core(run, Candidates(run.space), store, time.monotonic())


def _figures(run: Run, candidates: Candidates, *, num_classes: int) -> SpaceFigures | None:
    """Some seconds of counting, for the sampler that makes use of them."""
    if run.file.search.sampler != "pareto":
        return None
    figures = SpaceFigures(candidates, num_classes=num_classes, profile=_run_profile(run))
    prior = run.path / _PRIOR
    return figures.with_prior(load_rules(prior)) if prior.exists() else figures


def _drop_trainings(checkpoints: Path, records: Sequence[Record]) -> None:
    """Remove what would be needed to train a network further that was stopped or has failed.

    Once, at the end: a search that is killed before finds every training of a PAUSED trial.
    """
    for record in records:
        if record.state in {PRUNED, FAILED}:
            training_path(checkpoints, record.digest, record.seed).unlink(missing_ok=True)


def _prepared(run: Run, candidates: Candidates, observer: Observer, place: Place) -> EvaluatorSpec:
    """Data, trained backbones and the latency anchor: made once, found again by a resumed run."""
    file = run.file
    observer.stage("reading images")
    resolution = train_resolution(run.space, file)
    cached = cached_data(file.data, resolution, progress=observer.step, **_cut(file))
    if cached.name != run.environment["data"]["key"]:
        raise SpecError(
            f"the images of {file.data} have changed since {run.path} was started; "
            "put them back, or start another run"
        )
    data = open_data(cached)
    if data.imbalance > _IMBALANCED:
        times = f"{data.imbalance:.0f} times"
        observer.stage(f"the largest class has {times} the images of the smallest")
    plains = {
        architecture.plain.digest: architecture.plain
        for architecture in candidates.references().values()
    }
    if not PROXIES[file.proxy.kind].warm:
        plains = {}
    checkpoints = run.path / _CHECKPOINTS
    for plain in plains.values():
        path = checkpoint_path(checkpoints, plain.digest)
        if not path.exists():
            observer.stage(f"training the plain {plain.backbone}")
            score = prepare_backbone(
                plain,
                data,
                cached.name,
                file.proxy,
                path,
                seed=file.search.seed,
                threads=min(usable_cores(), worker_count(file) * file.proxy.threads),
                progress=observer.step,
            )
            observer.stage(
                f"plain {plain.backbone}: validation loss {score.loss:.4f}, "
                f"accuracy {score.accuracy:.1%}"
            )
    supernets = None
    if PROXIES[file.proxy.kind].shared:
        supernets = run.path / "supernets"
        _train_supernets(run, supernets, candidates, list(plains.values()), cached.name, observer)
    anchor = candidates.references()[PLAIN]
    profile = _run_profile(run)
    device = Device.parse(profile.device if profile else file.device)
    return EvaluatorSpec(
        data=cached.resolve(),
        checkpoints=checkpoints.resolve(),
        proxy=file.proxy,
        constraints=run.space.constraints,
        plains=tuple(plain.to_json() for plain in plains.values()),
        anchor=anchor.to_json(),
        anchor_ms=profile.branch(anchor).plain_ms
        if profile
        else _anchor_ms(run, anchor, len(data.classes), device, place),
        device=device.name,
        profile=(run.path / _DEVICE).resolve() if profile else None,
        supernets=supernets.resolve() if supernets else None,
    )


def _train_supernets(
    run: Run,
    out: Path,
    candidates: Candidates,
    plains: list[Architecture],
    data_key: str,
    observer: Observer,
) -> None:
    """One for each plain network, trained as far as the largest budget; made once."""
    file, data = run.file, run.dataset()
    about = SupernetFile(
        space=run.space,
        data=file.data,
        key=data_key,
        classes=len(data.classes),
        validation=file.validation,
        seed=file.search.seed,
        proxy=file.proxy,
    )
    folder = SupernetFolder.made(out, about, candidates)
    for plain in plains:
        backbone = checkpoint_path(run.path / _CHECKPOINTS, plain.digest)
        folder.backbone(plain).parent.mkdir(parents=True, exist_ok=True)
        if not folder.backbone(plain).exists():
            _link(str(backbone), str(folder.backbone(plain)))
        observer.stage(f"training the supernet of {plain.backbone}")
        folder.train(plain, data, device=best_device(), progress=observer.step)


def _run_profile(run: Run) -> Profile | None:
    return load_profile(run.path / _DEVICE) if run.file.device.endswith(".json") else None


def _measure_front(
    run: Run, spec: EvaluatorSpec, store: Store, observer: Observer, place: Place
) -> None:
    """Measure front and references once more, in turn, now that no training runs beside.

    A corrected latency can bring another network to the front, which is then measured too.
    On another machine than the profile's, latencies stay what they are: predictions.
    """
    profile = _run_profile(run)
    if profile and not place(is_here, profile):
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
            device=Device.parse(spec.device),
        )
        final |= {digest: (found.latency_ms, found.spread) for digest, found in latencies.items()}
        store.note_final(final)


def _anchor_ms(
    run: Run, anchor: Architecture, num_classes: int, device: Device, place: Place
) -> float:
    """Latency of the anchor from device.json, measured on first use."""
    path = run.path / _DEVICE
    runtime, on = place(machine_of, device)
    if path.exists():
        try:
            known = json.loads(path.read_text())
            measured = known["runtime"], known["processor"]
            latency_ms = float(known["anchor"]["latency_ms"])
        except (OSError, ValueError, KeyError, TypeError):
            raise StorageError(f"{path} is damaged; remove it to measure again") from None
        if measured != (runtime, on):
            raise SpecError(
                f"{run.path} was measured with {measured[0]} on {measured[1]}; this is "
                f"{runtime} on {on}: go on there, or start another run"
            )
        return latency_ms
    latency_ms = place(measure_device, anchor, num_classes, device)
    profile = {
        "version": 1,
        "device": device.name,
        "runtime": runtime,
        "clock": device.clock,
        "processor": on,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "anchor": {"digest": anchor.digest, "latency_ms": latency_ms},
    }
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(profile, indent=1))
    return latency_ms


def _admission(
    space: SearchSpace, profile: Profile | None, *, num_classes: int
) -> Callable[[Architecture], bool]:
    """Whether an architecture keeps the limits that are known without measuring."""
    limits = space.constraints

    def admit(architecture: Architecture) -> bool:
        if profile and limits.latency_ms is not None:
            if profile.predict(architecture).latency_ms > limits.latency_ms:
                return False
        if limits.params is None and limits.macs is None:
            return True
        counted = cost_by_parts(architecture, num_classes=num_classes)
        return (limits.params is None or counted.params <= limits.params) and (
            limits.macs is None or counted.macs <= limits.macs
        )

    return admit


def _write_results(run: Run) -> None:
    """trials.parquet, front.csv and front.png, each whole."""
    stamp = journal_stamp(run.path) if run.file.address is None else ""
    trials = Trials.of(Store(run.study, writable=False).records())
    trials.write(run.path / "trials.parquet", stamp=stamp)
    front = run.front_of(trials)
    front.write_csv(run.path / "front.csv")
    draw_front(front, run.path / "front.png", title=f"{run.space.name} on {run.file.data}")


def worker_count(file: Runner) -> int:
    """Of this machine: clusters count their own."""
    if file.workers != "auto":
        return file.workers
    return max(1, usable_cores() // file.proxy.threads)


def _local(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    return LocalExecutor(spec, workers=worker_count(run.file), log=run.path / "events.log")


def _worker(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    at_most = None if run.file.workers == "auto" else run.file.workers
    return WorkerExecutor(exchange_of(run, store), terms_of(run, spec), workers=at_most)


def _ray(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    from nas.executors.ray_pool import RayExecutor

    return RayExecutor(**_on_ray(run, spec))


def _tune(run: Run, store: Store, spec: EvaluatorSpec) -> TuneExecutor:
    from nas.executors.ray_tune import TuneExecutor

    reopen = partial(reopened, run.path.resolve())
    return TuneExecutor(**_on_ray(run, spec), folder=run.path / "tune", reopen=reopen)


@contextmanager
def tuning(path: str | Path) -> Iterator[TuneExecutor]:
    """A run's way through Ray Tune, for `ray.tune.Tuner.restore`: locked and connected while the
    context is open. Afterwards `nas resume` finishes the run and writes its results.
    """
    run, observer = open_run(path), Silent()
    with locked(run.path), _place(run, observer) as place:
        spec = _prepared(run, Candidates(run.space), observer, place)
        yield _tune(run, Store(run.study, writable=False), spec)


def _on_ray(run: Run, spec: EvaluatorSpec) -> dict[str, Any]:
    from nas.executors.ray_workers import Makers

    return {
        "spec": spec.to_dict(),
        "plan": run.file.ray,
        "workers": None if run.file.workers == "auto" else run.file.workers,
        "threads": spec.proxy.threads,
        "makers": Makers(gauge=None) if spec.profile else Makers(),
    }


EXECUTORS: Mapping[str, Callable[[Run, Store, EvaluatorSpec], Executor]] = {
    "local": _local,
    "worker": _worker,
    "ray": _ray,
    "tune": _tune,
}


@contextmanager
def _place(run: Run, observer: Observer) -> Iterator[Place]:
    """Where latencies are measured; connected to a cluster where the executor needs one."""
    if run.file.executor not in {"ray", "tune"}:
        yield here
        return
    from nas.executors.ray_cluster import connected

    cores = usable_cores() if run.file.workers == "auto" else run.file.workers * run.file.ray.cpus
    with connected(run.file.ray, cores=cores, say=observer.stage) as place:
        yield place


def _cut(file: Runner) -> dict[str, Any]:
    return {"validation": file.validation, "seed": file.search.seed}
