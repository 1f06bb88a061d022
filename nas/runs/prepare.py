"""What a search needs before its first job, made once and found again by a resumed run: images,
trained backbones and supernets, the latency anchor, and the search core itself.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.base.clock import utc_now
from nas.base.errors import SpecError, StorageError
from nas.base.files import write_whole
from nas.base.machine import usable_cores
from nas.base.object_store import copy, is_remote, send
from nas.data import cached_data, open_data
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import LatencyMachine, Observer
from nas.latency.device import Device
from nas.latency.profile import Profile, load_profile
from nas.latency.runtime import clock_of, device_named
from nas.latency.source import machine_of, measure_device
from nas.models.candidates import Candidates
from nas.models.cost import cost_by_parts
from nas.runs.run import Run, train_resolution
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.prior import load_rules
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.training.checkpoint import checkpoint_path, weights_exist
from nas.training.device import best_device
from nas.training.plain_backbone import prepare_backbone
from nas.training.proxies import PROXIES
from nas.training.supernet.folder import SupernetFile, SupernetFolder

__all__ = [
    "DEVICE",
    "PRIOR",
    "make_search",
    "prepare",
    "run_profile",
    "split_options",
    "take_over",
    "worker_count",
]

_IMBALANCED = 3.0
PRIOR = "prior.json"
DEVICE = "device.json"
"""In a run folder: the profile that latencies are predicted from, or the anchor's latency."""


def prepare(
    run: Run, candidates: Candidates, observer: Observer, place: LatencyMachine
) -> EvaluatorSpec:
    """Data, trained backbones and the latency anchor: made once, found again by a resumed run."""
    file = run.file
    observer.stage("reading images")
    resolution = train_resolution(run.space, file)
    cached = cached_data(file.data, resolution, progress=observer.step, **split_options(file))
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
    checkpoints = run.checkpoints
    for plain in plains.values():
        path = checkpoint_path(checkpoints, plain.digest)
        if not weights_exist(path):
            observer.stage(f"training the plain {plain.backbone}")
            score = prepare_backbone(
                plain,
                data,
                cached.name,
                file.proxy,
                path,
                seed=file.search.seed,
                threads=min(usable_cores(), worker_count(file) * file.proxy.threads),
                device=best_device(),
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
    profile = run_profile(run)
    device = device_named(profile.device if profile else file.device)
    return EvaluatorSpec(
        data=send(cached, checkpoints.parent / "images"),
        checkpoints=checkpoints if is_remote(checkpoints) else checkpoints.resolve(),
        proxy=file.proxy,
        constraints=run.space.constraints,
        plains=tuple(plain.to_json() for plain in plains.values()),
        anchor=anchor.to_json(),
        anchor_ms=profile.branch(anchor).plain_ms
        if profile
        else _anchor_ms(run, anchor, len(data.classes), device, place),
        device=device.name,
        profile=send(run.path / DEVICE, checkpoints) if profile else None,
        supernets=send(supernets, checkpoints) if supernets else None,
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
        frozen=PROXIES[file.proxy.kind].frozen,
    )
    folder = SupernetFolder.prepare(out, about, candidates)
    for plain in plains:
        backbone = checkpoint_path(run.checkpoints, plain.digest)
        folder.backbone(plain).parent.mkdir(parents=True, exist_ok=True)
        if not folder.backbone(plain).exists():
            take_over(backbone, folder.backbone(plain))
        observer.stage(f"training the supernet of {plain.backbone}")
        folder.train(plain, data, device=best_device(), progress=observer.step)


def _anchor_ms(
    run: Run, anchor: Architecture, num_classes: int, device: Device, place: LatencyMachine
) -> float:
    """Latency of the anchor from device.json, measured on first use."""
    path = run.path / DEVICE
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
        "clock": clock_of(device),
        "processor": on,
        "measured": utc_now(),
        "anchor": {"digest": anchor.digest, "latency_ms": latency_ms},
    }
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(profile, indent=1))
    return latency_ms


def run_profile(run: Run) -> Profile | None:
    return load_profile(run.path / DEVICE) if run.file.device.endswith(".json") else None


def split_options(file: Runner) -> dict[str, Any]:
    return {"validation": file.validation, "seed": file.search.seed}


def worker_count(file: Runner) -> int:
    """Of this machine: clusters count their own."""
    if file.workers != "auto":
        return file.workers
    return max(1, usable_cores() // file.proxy.threads)


def take_over(source: Path, target: Path) -> None:
    """Weights of another run, a file or a folder. They are only ever replaced, so two runs of one
    machine may share a file. Raises StorageError.
    """
    if is_remote(source) or is_remote(target):
        copy(source, target)
    elif source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    else:
        _link(str(source), str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def make_search(run: Run, candidates: Candidates, store: Store, started: float) -> Search:
    classes = len(run.environment["data"]["classes"])
    try:
        return Search(
            candidates,
            run.file.search,
            store,
            rungs=1 if PROXIES[run.file.proxy.kind].shared else len(run.file.proxy.budgets),
            seeds=run.file.proxy.seeds,
            begun=run.file.begun,
            admit=_admission(run.space, run_profile(run), num_classes=classes),
            figures=_figures(run, candidates, num_classes=classes),
            started=started,
        )
    except SpecError as error:
        raise SpecError(f"{run.path}: its study was made for another space ({error})") from None


def _figures(run: Run, candidates: Candidates, *, num_classes: int) -> SpaceFigures | None:
    """Some seconds of counting, for the sampler that makes use of them."""
    if run.file.search.sampler != "pareto":
        return None
    figures = SpaceFigures(candidates, num_classes=num_classes, profile=run_profile(run))
    prior = run.path / PRIOR
    return figures.with_prior(load_rules(prior)) if prior.exists() else figures


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
