"""The survey of a space on this machine: interrupted at any moment, it goes on there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from torch import nn

from nas.base.errors import MeasurementError, SpecError
from nas.base.machine import processor
from nas.latency.assembly import assemble_profile
from nas.latency.deployment import build_deployed
from nas.latency.device import Clock, Device
from nas.latency.gpu_state import conditions_during
from nas.latency.host_block import TimedGraph
from nas.latency.measure import Anchor, Latency, Subject, measure_anchor, measure_together
from nas.latency.plan import MeasurementPlan, plan_measurements
from nas.latency.profile import Profile
from nas.latency.runtime import (
    RUNTIMES,
    Session,
    clock_of,
    core_of,
    device_named,
    hardware_of,
)
from nas.latency.timings import Timings
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = [
    "Drift",
    "Loader",
    "check_machine",
    "is_of_this_machine",
    "loader_of",
    "measure_drift",
    "measure_profile",
    "survey",
]

Loader = Callable[[nn.Module, tuple[int, int, int]], Session]
"""A function that turns a module that reads images of (channels, height, width) into a session."""

_TOGETHER = 20  # graphs in memory, measured in turn with each other
_ROUNDS = 24
_ROUNDS_OF_NETWORKS = 40  # the whole sum rests on a few networks, so they are visited more often


def survey(
    plan: MeasurementPlan,
    graphs: Sequence[TimedGraph],
    load: Loader,
    *,
    keep: Path,
    device: str,
    task: Task,
    batch: int = 1,
    clock: Clock = "thread",
    core: int | None = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[dict[str, float], dict[str, Latency]]:
    """Time a plan's graphs and whole networks.

    load: converts and loads for the device.
    keep: a file that holds what was timed so far; whoever has written the profile removes it.
    device: what the timings are of, in words.
    task: what the whole networks are for.
    batch: images in one inference.
    core: see `measure_together`.
    progress: is called with how many are timed, of how many.
    Returns milliseconds of the graphs by key, and latencies of the networks by digest.
    Raises SpecError when `keep` is of another device, MeasurementError, StorageError.
    """
    timings = Timings.read(keep, device)
    total = len(graphs) + len(plan.networks)

    def subject(module: nn.Module, shape: tuple[int, int, int]) -> Subject:
        return Subject(load(module, shape), (batch, *shape))

    def whole(architecture: Architecture) -> Subject:
        return subject(build_deployed(architecture, task), architecture.size.shape)

    # The first of the plain networks stands beside everything that is timed, now and after an
    # interruption, so that its latency is measured once; that of another space's is none of it.
    plain = next(iter(plan.architectures.values()))
    first = whole(plain)
    if timings.anchor_ms is None or timings.anchor not in (None, plain.digest):
        timings.anchor_ms = measure_anchor(first, core=core, clock=clock)
        timings.anchor = plain.digest
        timings.write()
    anchor = Anchor(first, timings.anchor_ms)
    missing = (graph for graph in graphs if graph.key not in timings.graphs)
    while chunk := list(islice(missing, _TOGETHER)):
        subjects = {graph.key: subject(graph.module(), graph.shape) for graph in chunk}
        latencies = measure_together(
            subjects, anchor, seed=len(timings.graphs), core=core, clock=clock, rounds=_ROUNDS
        )
        timings.graphs |= {key: latency.latency_ms for key, latency in latencies.items()}
        timings.write()
        progress(timings.count, total)
    # Whole networks all together: the correction compares them with each other.
    left = {key: item for key, item in plan.architectures.items() if key not in timings.networks}
    if left:
        subjects = {digest: whole(architecture) for digest, architecture in left.items()}
        timings.networks |= measure_together(
            subjects, anchor, seed=1, core=core, clock=clock, rounds=_ROUNDS_OF_NETWORKS
        )
        timings.write()
        progress(total, total)
    return (
        {graph.key: timings.graphs[graph.key] for graph in graphs},
        {digest: timings.networks[digest] for digest in plan.networks},
    )


def measure_profile(
    candidates: Candidates,
    device: Device,
    out: Path,
    *,
    classes: int = 1000,
    task: Task | None = None,
    networks: int = 8,
    held_out: int = 6,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Profile:
    """Measure a space on this machine and write its profile.

    What was timed so far stands beside `out` until the profile is written: an interrupted call
    goes on when it is made again.

    out: file of the profile.
    task: what the whole networks are for; None: to classify images of so many `classes`.
    networks, held_out, seed: see `plan_measurements`.
    progress: is called with how many are timed, of how many.
    Raises SpecError, MeasurementError, StorageError.
    """
    runtime, task = RUNTIMES[device.runtime], task or Task(outputs=classes)
    version = f"{runtime.name} {runtime.version()}"
    plan, graphs = plan_measurements(candidates, whole=networks, held_out=held_out, seed=seed)
    keep = out.with_name(f".{out.name}.timings")
    (blocks, whole), conditions = conditions_during(
        clock_of(device),
        survey,
        plan,
        graphs,
        loader_of(device),
        keep=keep,
        device=f"{device.name}, {version}, {hardware_of(device)}, {task.key} classes",
        task=task,
        batch=device.batch,
        clock=clock_of(device),
        core=core_of(device),
        progress=progress,
    )
    profile = assemble_profile(
        plan,
        blocks,
        whole,
        device=device.name,
        runtime=version,
        processor=hardware_of(device),
        clock=clock_of(device),
        task=task,
        conditions=conditions,
    )
    profile.write(out)
    keep.unlink(missing_ok=True)
    return profile


def loader_of(device: Device) -> Loader:
    """Return the function that converts and loads modules for a device."""
    runtime = RUNTIMES[device.runtime]

    def load(module: nn.Module, shape: tuple[int, int, int]) -> Session:
        return runtime.load(runtime.convert(module, shape, device.batch, device.precision), device)

    return load


@dataclass(frozen=True, slots=True)
class Drift:
    """The change of a machine since its profile was measured.

    ratio: time now by time then, the median over networks.
    spread: half the range of their ratios.
    """

    ratio: float
    spread: float


def measure_drift(profile: Profile, *, networks: int = 5) -> Drift:
    """Time some whole networks of a profile again.

    networks: how many.
    Raises SpecError on another machine, MeasurementError.
    """
    device = device_named(profile.device)
    check_machine(profile)
    load = loader_of(device)
    whole = [Architecture.from_json(item.architecture) for item in profile.networks[:networks]]
    ratios = []
    for item, architecture in zip(profile.networks, whole, strict=False):
        shape = architecture.size.shape
        session = load(build_deployed(architecture, profile.task), shape)
        subject = Subject(session, (device.batch, *shape))
        now_ms = measure_anchor(subject, core=core_of(device), clock=clock_of(device))
        ratios.append(now_ms / item.measured_ms)
    return Drift(median(ratios), (max(ratios) - min(ratios)) / 2)


def is_of_this_machine(profile: Profile) -> bool:
    """Say whether a profile was measured on this machine, with what is installed now."""
    runtime = RUNTIMES.get(profile.device.partition("-")[0])
    if runtime is None:
        return False
    try:
        version = runtime.version()
    except MeasurementError:
        return False
    hardware = hardware_of(device_named(profile.device))
    return (profile.runtime, profile.processor) == (f"{runtime.name} {version}", hardware)


def check_machine(profile: Profile) -> None:
    """Make sure that a profile was measured on this machine, with what is installed now.

    Raises SpecError when it is of another machine or version.
    """
    if not is_of_this_machine(profile):
        raise SpecError(
            f"the profile is of {profile.runtime} on {profile.processor}, and this is "
            f"{processor()}; check it there, or measure one here: nas profile SPACE --out FILE"
        )
