"""What a search needs before its first job, made once and found again by a resumed run: images,
trained backbones and supernets, the latency anchor, and the search core itself.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.base.clock import utc_now
from nas.base.errors import SpecError, StorageError
from nas.base.files import write_whole
from nas.base.machine import usable_cores
from nas.base.object_store import copy, is_remote, send
from nas.data import Dataset, open_data
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import LatencyMachine
from nas.execution.observer import Observer
from nas.latency.device import Device
from nas.latency.gpu_state import conditions_during
from nas.latency.profile import Profile, load_profile
from nas.latency.runtime import clock_of, device_named
from nas.latency.source import machine_of, measure_device
from nas.models.candidates import Candidates
from nas.models.cost import cost_by_parts
from nas.models.held_blocks import count_starts
from nas.runs.run import DEVICE, Run
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.prior import load_rules
from nas.spec.runner import TRAINS_HERE, Runner
from nas.spec.space import Constraints, SearchSpace
from nas.spec.task import Task
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.evidence import Budgets
from nas.training.checkpoint import checkpoint_path, load_weights, weights_exist
from nas.training.device import best_device, check_placement
from nas.training.launch import check_launch
from nas.training.plain_backbone import judge_emptied, prepare_backbone
from nas.training.precision import check_precision
from nas.training.proxies import PROXIES
from nas.training.supernet.folder import SupernetFile, SupernetFolder
from nas.training.tasks import Score

__all__ = [
    "DEVICE",
    "PRIOR",
    "SearchInputs",
    "make_search",
    "prepare",
    "take_over",
    "worker_count",
]

PRIOR = "prior.json"
"""The file of rules in a run folder, where the search began with those of another."""

_IMBALANCED = 3.0


@dataclass(frozen=True, slots=True)
class SearchInputs:
    """A run and what its search is made from, each read once and handed on.

    profile: that latencies are predicted from; None: they are measured.
    data: what environment.json says of the images: `key`, `classes`, `images`.
    """

    run: Run
    candidates: Candidates
    profile: Profile | None
    data: Mapping[str, Any]

    @property
    def task(self) -> Task:
        """The task that networks are for."""
        return self.run.file.task_on(len(self.data["classes"]))

    @classmethod
    def read(cls, run: Run) -> SearchInputs:
        """Read those of a run folder.

        Raises SpecError for a space or a profile that cannot be used, StorageError for a damaged
        folder.
        """
        profile = load_profile(run.path / DEVICE) if run.file.device_profile else None
        data = run.environment()["data"]
        task = run.file.task_on(len(data["classes"]))
        return cls(run, Candidates(run.space, task), profile, data)


def prepare(inputs: SearchInputs, observer: Observer, machine: LatencyMachine) -> EvaluatorSpec:
    """Make what evaluators need, or find it again in a resumed run.

    machine: where latencies are measured.
    Raises SpecError when the images have changed, or the run was measured elsewhere.
    """
    run, file, profile = inputs.run, inputs.run.file, inputs.profile
    if file.executor in TRAINS_HERE:  # where a search is gone on with may be another machine
        check_precision(file.proxy.computed_in, best_device())
        check_launch(file.proxy.launch, best_device())
        check_placement(file.side_by_side, best_device())
    images = _find_images(inputs, observer)
    data = open_data(images)
    if data.imbalance > _IMBALANCED:
        times = f"{data.imbalance:.0f} times"
        observer.stage(f"the largest class has {times} the images of the smallest")
    plains = _plain_networks(inputs)
    for plain in plains:
        _train_backbone(inputs, plain, data, observer)
    supernets = None
    if PROXIES[file.proxy.kind].shared:
        supernets = run.path / "supernets"
        _train_supernets(inputs, plains, data, supernets, observer)
    anchor = inputs.candidates.references()[PLAIN]
    device = device_named(profile.device if profile else file.device)
    if profile:
        anchor_ms = profile.branch(anchor).plain_ms
    else:
        anchor_ms = _anchor_ms(run, anchor, inputs.task, device, machine)
    checkpoints = run.checkpoints
    return EvaluatorSpec(
        data=send(images, checkpoints.parent / "images"),
        checkpoints=checkpoints if is_remote(checkpoints) else checkpoints.resolve(),
        proxy=file.proxy,
        constraints=run.space.constraints,
        plains=tuple(plain.to_json() for plain in plains),
        anchor=anchor.to_json(),
        anchor_ms=anchor_ms,
        task=inputs.task,
        device=device.name,
        profile=send(run.path / DEVICE, checkpoints) if profile else None,
        supernets=send(supernets, checkpoints) if supernets else None,
    )


def _find_images(inputs: SearchInputs, observer: Observer) -> Path:
    """Return the folder of the decoded images. Raises SpecError when they have changed."""
    run = inputs.run
    observer.stage("reading images")
    images = run.images(inputs.data["key"])
    return images.find("put them back, or start another run", progress=observer.step)


def _plain_networks(inputs: SearchInputs) -> list[Architecture]:
    """Return the plain networks whose trained weights candidates start from; none: from scratch."""
    if not PROXIES[inputs.run.file.proxy.kind].warm:
        return []
    references = inputs.candidates.references().values()
    return list({reference.plain.digest: reference.plain for reference in references}.values())


def _train_backbone(
    inputs: SearchInputs, plain: Architecture, data: Dataset, observer: Observer
) -> None:
    """Train a plain network, or take it from the user's cache, where the run has none."""
    file = inputs.run.file
    path = checkpoint_path(inputs.run.checkpoints, plain.digest)
    if weights_exist(path):
        return
    as_it_stands = file.proxy.backbone.file is not None and not file.proxy.backbone.epochs
    doing = "reading the weights of" if as_it_stands else "training"
    observer.stage(f"{doing} the plain {plain.backbone}")
    threads = min(usable_cores(), worker_count(file) * file.proxy.threads)
    score = prepare_backbone(
        plain,
        data,
        inputs.data["key"],
        inputs.task,
        file.proxy,
        path,
        seed=file.search.seed,
        threads=threads,
        device=best_device(),
        progress=observer.step,
    )
    observer.stage(f"plain {plain.backbone}: {_describe_score(score, inputs.task)}")
    emptied = inputs.candidates.emptied(plain)
    if emptied != plain:
        score = judge_emptied(
            emptied,
            data,
            inputs.task,
            path,
            threads=threads,
            device=best_device(),
            precision=file.proxy.computed_in,
        )
        slots = len(emptied.insertions)
        observer.stage(
            f"the same with {'its filled slot' if slots == 1 else f'its {slots} filled slots'} "
            f"emptied: {_describe_score(score, inputs.task)}; what a slot held has to be learnt "
            "again where it is emptied, or replaced by a block of another kind"
        )
        starts = count_starts(emptied, inputs.task, load_weights(path))
        observer.stage(_describe_starts(starts, slots, inputs.run.space))


def _describe_starts(starts: Mapping[str, int], slots: int, space: SearchSpace) -> str:
    """Say which blocks start as what the filled slots of a backbone hold."""
    as_held = [
        f"{name} in {number} of {slots}{'' if name in space.blocks else ' (not in this space)'}"
        for name, number in starts.items()
    ]
    return f"blocks that start as what a slot holds, if as wide: {', '.join(as_held) or 'none'}"


def _describe_score(score: Score, task: Task) -> str:
    title = task.kind.figures[0].title
    return f"validation loss {score.loss:.4f}, {title} {score.accuracy:.1%}"


def _train_supernets(
    inputs: SearchInputs,
    plains: Sequence[Architecture],
    data: Dataset,
    out: Path,
    observer: Observer,
) -> None:
    """Train a supernet for each plain network, as far as the largest budget; made once."""
    run, file = inputs.run, inputs.run.file
    about = SupernetFile(
        space=run.space,
        data=file.data,
        key=inputs.data["key"],
        classes=len(data.classes),
        task=inputs.task.name,
        head=inputs.task.head,
        validation=file.validation,
        seed=file.search.seed,
        proxy=file.proxy,
        frozen=PROXIES[file.proxy.kind].frozen,
    )
    folder = SupernetFolder.prepare(out, about, inputs.candidates)
    for plain in plains:
        backbone = checkpoint_path(run.checkpoints, plain.digest)
        folder.backbone(plain).parent.mkdir(parents=True, exist_ok=True)
        if not folder.backbone(plain).exists():
            take_over(backbone, folder.backbone(plain))
        observer.stage(f"training the supernet of {plain.backbone}")
        folder.train(plain, data, device=best_device(), progress=observer.step)


def _anchor_ms(
    run: Run, anchor: Architecture, task: Task, device: Device, machine: LatencyMachine
) -> float:
    """Return the latency of the anchor from device.json, measured on first use."""
    path = run.path / DEVICE
    runtime, processor = machine(machine_of, device)
    if path.exists():
        return _read_anchor_ms(run, runtime, processor)
    latency_ms, conditions = machine(
        conditions_during, clock_of(device), measure_device, anchor, task, device
    )
    about = {
        "version": 1,
        "device": device.name,
        "runtime": runtime,
        "clock": clock_of(device),
        "processor": processor,
        "measured": utc_now(),
        "anchor": {"digest": anchor.digest, "latency_ms": latency_ms},
    }
    if conditions is not None:
        about["conditions"] = conditions
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1))
    return latency_ms


def _read_anchor_ms(run: Run, runtime: str, processor: str) -> float:
    """Read the anchor's latency.

    runtime, processor: what latencies are measured with now.
    Raises SpecError when it was measured with others, StorageError for a damaged file.
    """
    path = run.path / DEVICE
    try:
        about = json.loads(path.read_text())
        measured = about["runtime"], about["processor"]
        latency_ms = float(about["anchor"]["latency_ms"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StorageError(f"{path} is damaged; remove it to measure again") from None
    if measured != (runtime, processor):
        raise SpecError(
            f"{run.path} was measured with {measured[0]} on {measured[1]}; this is "
            f"{runtime} on {processor}: go on there, or start another run"
        )
    return latency_ms


def worker_count(file: Runner) -> int:
    """Return how many workers this machine gets; clusters count their own."""
    if file.workers != "auto":
        return file.workers
    return max(1, usable_cores() // file.proxy.threads)


def take_over(source: Path, target: Path) -> None:
    """Take over weights of another run, a file or a folder.

    They are only ever replaced, so two runs of one machine may share a file.
    Raises StorageError.
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


def make_search(inputs: SearchInputs, store: Store, started: float) -> Search:
    """Make the search core of a run, as far as its study is.

    started: seconds by the monotonic clock, from which a time limit counts.
    Raises SpecError when the study was made for another space.
    """
    run, file = inputs.run, inputs.run.file
    try:
        return Search(
            inputs.candidates,
            file.search,
            store,
            rungs=1 if PROXIES[file.proxy.kind].shared else len(file.proxy.budgets),
            seeds=file.proxy.seeds,
            begun=file.begun,
            admit=_admission(inputs),
            figures=_figures(inputs),
            budgets=_budgets(inputs),
            started=started,
            figure=file.figure,
        )
    except SpecError as error:
        raise SpecError(f"{run.path}: its study was made for another space ({error})") from None


def _budgets(inputs: SearchInputs) -> Budgets | None:
    """Return what trainings are evidence of; None in a run that does not know its images."""
    images = inputs.data.get("images")
    return None if images is None else Budgets.of(inputs.run.file, int(images))


def _figures(inputs: SearchInputs) -> SpaceFigures | None:
    """Count the space, which takes some seconds, for the sampler that makes use of it."""
    if inputs.run.file.search.sampler != "pareto":
        return None
    figures = SpaceFigures(inputs.candidates, task=inputs.task, profile=inputs.profile)
    prior = inputs.run.path / PRIOR
    return figures.with_prior(load_rules(prior)) if prior.exists() else figures


def _admission(inputs: SearchInputs) -> Callable[[Architecture], bool]:
    """Return whether an architecture keeps the limits that are known without measuring."""
    limits, profile = inputs.run.space.constraints, inputs.profile
    task = inputs.task

    def admit(architecture: Architecture) -> bool:
        return _is_fast_enough(architecture, limits, profile) and _is_small_enough(
            architecture, limits, task
        )

    return admit


def _is_fast_enough(
    architecture: Architecture, limits: Constraints, profile: Profile | None
) -> bool:
    if profile is None or limits.latency_ms is None:
        return True
    return profile.predict(architecture).latency_ms <= limits.latency_ms


def _is_small_enough(architecture: Architecture, limits: Constraints, task: Task) -> bool:
    if limits.params is None and limits.macs is None:
        return True
    counted = cost_by_parts(architecture, task)
    return (limits.params is None or counted.params <= limits.params) and (
        limits.macs is None or counted.macs <= limits.macs
    )
