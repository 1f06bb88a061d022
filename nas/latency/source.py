"""The source of a search's latencies: measured on this machine, or read off a profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nas.base.machine import version
from nas.latency.deployment import build_deployed
from nas.latency.device import Device
from nas.latency.measure import Anchor, Latency, Subject, measure_anchor, measure_together
from nas.latency.profile import load_profile
from nas.latency.runtime import RUNTIMES, clock_of, core_of, hardware_of
from nas.latency.runtime.graph_cache import cached_graph
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = [
    "LatencyOf",
    "convert_deployed",
    "latency_measurer",
    "latency_predictor",
    "machine_of",
    "measure_architectures",
    "measure_device",
]

LatencyOf = Callable[[Architecture, int], Latency]
"""A function that tells an architecture's latency; the number is the seed of a measurement."""


def latency_measurer(
    anchor: Architecture, anchor_ms: float, task: Task, device: Device, *, worker: int = 0
) -> LatencyOf:
    """Return a function that measures latencies on this machine, beside an anchor.

    anchor_ms: the anchor's latency on this machine.
    worker: number of the caller among those that measure here, each on a core of its own.
    Raises MeasurementError when the anchor cannot be converted.
    """
    beside = Anchor(_subject(anchor, task, device), anchor_ms)
    core = None if core_of(device) is None else worker

    def latency_of(architecture: Architecture, seed: int) -> Latency:
        subjects = {"candidate": _subject(architecture, task, device)}
        latencies = measure_together(subjects, beside, seed=seed, core=core, clock=clock_of(device))
        return latencies["candidate"]

    return latency_of


def latency_predictor(path: Path) -> LatencyOf:
    """Return a function that predicts latencies by a device profile.

    Their spread is the relative half-width of the profile's 90 % interval.

    path: of the profile.
    Raises SpecError when it cannot be read; the function does for what the profile lacks.
    """
    profile = load_profile(path)

    def latency_of(architecture: Architecture, _seed: int) -> Latency:
        prediction = profile.predict(architecture)
        spread = prediction.half_width_ms / prediction.latency_ms
        return Latency(prediction.latency_ms, None, spread)

    return latency_of


def measure_device(anchor: Architecture, task: Task, device: Device) -> float:
    """Measure the latency of an anchor on this machine, milliseconds.

    Raises MeasurementError.
    """
    subject = _subject(anchor, task, device)
    return measure_anchor(subject, core=core_of(device), clock=clock_of(device))


def measure_architectures(
    architectures: Sequence[Architecture],
    *,
    anchor: Architecture,
    anchor_ms: float,
    task: Task,
    device: Device,
) -> dict[str, Latency]:
    """Measure networks in turn with each other; best while nothing else runs.

    anchor_ms: the anchor's latency on this machine.
    Returns latencies by digest.
    Raises MeasurementError.
    """
    return measure_together(
        {item.digest: _subject(item, task, device) for item in architectures},
        Anchor(_subject(anchor, task, device), anchor_ms),
        seed=0,
        core=core_of(device),
        clock=clock_of(device),
        rounds=40,
    )


def machine_of(device: Device) -> tuple[str, str]:
    """Name what latencies of this machine are of: the runtime with its version, the hardware."""
    return f"{device.runtime} {RUNTIMES[device.runtime].version()}", hardware_of(device)


def convert_deployed(architecture: Architecture, task: Task, device: Device) -> bytes:
    """Convert a network as it would be shipped for the device's runtime, or find it converted.

    Raises MeasurementError where the runtime cannot.
    """

    def convert() -> bytes:
        network = build_deployed(architecture, task)
        runtime = RUNTIMES[device.runtime]
        return runtime.convert(network, architecture.size.shape, device.batch, device.precision)

    # A user's own network can change without changing its name.
    own = ":" in architecture.backbone
    key = f"{version('attention-nas')} {architecture.digest} {task.key}"
    return convert() if own else cached_graph(key, device, convert)


def _subject(architecture: Architecture, task: Task, device: Device) -> Subject:
    """Load a network as it would be shipped into the device's runtime."""
    graph = convert_deployed(architecture, task, device)
    session = RUNTIMES[device.runtime].load(graph, device)
    return Subject(session, (device.batch, *architecture.size.shape))
