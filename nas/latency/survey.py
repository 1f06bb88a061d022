"""Timing what a profile needs on this machine: interrupted at any moment, it goes on there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from torch import nn

from nas.base.errors import MeasurementError, SpecError
from nas.base.files import write_whole
from nas.base.machine import processor
from nas.latency.device import Clock, Device
from nas.latency.measure import Anchor, Latency, Subject, measure_anchor, measure_together
from nas.latency.profile import Profile
from nas.latency.runtime import RUNTIMES, Session, clock_of, core_of, device_named
from nas.latency.table import (
    MeasurementPlan,
    TimedGraph,
    assemble,
    plan_measurements,
    whole_network,
)
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture

__all__ = [
    "Drift",
    "Prepare",
    "check_here",
    "drift",
    "is_here",
    "prepared",
    "profile_here",
    "survey",
]

Prepare = Callable[[nn.Module, tuple[int, int, int]], Session]
"""Turns a module that reads images of (channels, height, width) into a loaded session."""

_TOGETHER = 20
_ROUNDS = 24
_ROUNDS_OF_NETWORKS = 40
"""The whole sum rests on a few networks, so they are visited more often."""


def survey(
    made: MeasurementPlan,
    graphs: Sequence[TimedGraph],
    prepare: Prepare,
    *,
    keep: Path,
    device: str,
    classes: int,
    batch: int = 1,
    clock: Clock = "thread",
    core: int | None = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[dict[str, float], dict[str, Latency]]:
    """Time a plan's graphs (milliseconds by key) and whole networks (by digest).

    prepare: converts and loads for the device. keep: a file that holds what was timed so far,
    and is removed by whoever has written the profile. progress: (done, of).
    Raises SpecError when `keep` is of another device, MeasurementError.
    """
    kept = _Timings.read(keep, device)
    total = len(graphs) + len(made.networks)
    first = next(iter(made.architectures.values()))

    def subject(module: nn.Module, shape: tuple[int, int, int]) -> Subject:
        return Subject(prepare(module, shape), (batch, *shape))

    side = first.resolution
    anchor = subject(whole_network(first, classes), (3, side, side))
    if kept.anchor_ms is None:
        kept.anchor_ms = measure_anchor(anchor, core=core, clock=clock)
        kept.write(keep, device)
    beside = Anchor(anchor, kept.anchor_ms)
    missing = (graph for graph in graphs if graph.key not in kept.graphs)
    while batch_of_graphs := list(islice(missing, _TOGETHER)):
        subjects = {item.key: subject(item.module(), item.shape) for item in batch_of_graphs}
        found = measure_together(
            subjects, beside, seed=len(kept.graphs), core=core, clock=clock, rounds=_ROUNDS
        )
        kept.graphs |= {key: latency.latency_ms for key, latency in found.items()}
        kept.write(keep, device)
        progress(len(kept.graphs) + len(kept.networks), total)
    left = {key: item for key, item in made.architectures.items() if key not in kept.networks}
    if left:
        subjects = {
            digest: subject(whole_network(item, classes), (3, item.resolution, item.resolution))
            for digest, item in left.items()
        }
        kept.networks |= measure_together(
            subjects, beside, seed=1, core=core, clock=clock, rounds=_ROUNDS_OF_NETWORKS
        )
        kept.write(keep, device)
        progress(total, total)
    return (
        {graph.key: kept.graphs[graph.key] for graph in graphs},
        {digest: kept.networks[digest] for digest in made.networks},
    )


def profile_here(
    candidates: Candidates,
    device: Device,
    out: Path,
    *,
    classes: int = 1000,
    networks: int = 8,
    held_out: int = 6,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Profile:
    """Measure a space on this machine and write its profile.

    What was timed so far stands beside `out` until the profile is written: an interrupted call
    goes on when it is made again. Raises SpecError, MeasurementError, StorageError.
    """
    runtime = RUNTIMES[device.runtime]
    version = f"{runtime.name} {runtime.version()}"
    made, graphs = plan_measurements(candidates, whole=networks, held_out=held_out, seed=seed)
    keep = out.with_name(f".{out.name}.timings")
    blocks, whole = survey(
        made,
        graphs,
        prepared(device),
        keep=keep,
        device=f"{device.name}, {version}, {processor()}, {classes} classes",
        classes=classes,
        batch=device.batch,
        clock=clock_of(device),
        core=core_of(device),
        progress=progress,
    )
    found = assemble(
        made,
        blocks,
        whole,
        device=device.name,
        runtime=version,
        processor=processor(),
        clock=clock_of(device),
        classes=classes,
    )
    found.write(out)
    keep.unlink(missing_ok=True)
    return found


def prepared(device: Device) -> Prepare:
    """Converts and loads modules for a device."""
    runtime = RUNTIMES[device.runtime]

    def prepare(module: nn.Module, shape: tuple[int, int, int]) -> Session:
        return runtime.load(runtime.convert(module, shape, device.batch, device.precision), device)

    return prepare


@dataclass(frozen=True, slots=True)
class Drift:
    """ratio: time now by time then, the median over networks; spread: half their range."""

    ratio: float
    spread: float


def drift(profile: Profile, *, networks: int = 5) -> Drift:
    """Time some whole networks of a profile again. Raises SpecError on another machine."""
    device = device_named(profile.device)
    check_here(profile)
    prepare = prepared(device)
    whole = [Architecture.from_json(item.architecture) for item in profile.networks[:networks]]
    ratios = []
    for item, architecture in zip(profile.networks, whole, strict=False):
        side = architecture.resolution
        session = prepare(whole_network(architecture, profile.classes), (3, side, side))
        subject = Subject(session, (device.batch, 3, side, side))
        now_ms = measure_anchor(subject, core=core_of(device), clock=clock_of(device))
        ratios.append(now_ms / item.measured_ms)
    return Drift(median(ratios), (max(ratios) - min(ratios)) / 2)


def is_here(profile: Profile) -> bool:
    """Whether a profile was measured on this machine, with what is installed now."""
    runtime = RUNTIMES.get(profile.device.partition("-")[0])
    try:
        version = runtime.version() if runtime else ""
    except MeasurementError:
        return False
    return (profile.runtime, profile.processor) == (
        f"{runtime.name if runtime else ''} {version}",
        processor(),
    )


def check_here(profile: Profile) -> None:
    """Raises SpecError when a profile is of another machine or version."""
    if not is_here(profile):
        raise SpecError(
            f"the profile is of {profile.runtime} on {profile.processor}, and this is "
            f"{processor()}; check it there, or measure one here: nas profile SPACE --out FILE"
        )


class _Timings:
    """What was timed so far."""

    def __init__(
        self,
        anchor_ms: float | None = None,
        graphs: Mapping[str, float] | None = None,
        networks: Mapping[str, Latency] | None = None,
    ) -> None:
        self.anchor_ms = anchor_ms
        self.graphs = dict(graphs or {})
        self.networks = dict(networks or {})

    @classmethod
    def read(cls, path: Path, device: str) -> _Timings:
        if not path.exists():
            return cls()
        try:
            data = json.loads(path.read_text())
            if data["device"] != device:
                raise SpecError(
                    f"{path} holds timings of {data['device']}, and this is {device}; remove it "
                    "or write elsewhere"
                )
            networks = {key: Latency(**value) for key, value in data["networks"].items()}
            return cls(data["anchor_ms"], data["graphs"], networks)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise SpecError(f"{path} cannot be gone on with: remove it to start again") from None

    def write(self, path: Path, device: str) -> None:
        data = {
            "device": device,
            "anchor_ms": self.anchor_ms,
            "graphs": self.graphs,
            "networks": {key: asdict(value) for key, value in self.networks.items()},
        }
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps(data))
