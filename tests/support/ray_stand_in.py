"""Evaluations without training, made by name in Ray's workers: deterministic, quick, and logged."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from support.evaluations import make_outcome

from nas.base.errors import MeasurementError, StorageError
from nas.execution.ray.workers import WorkerFactories
from nas.spec.architecture import Architecture
from nas.study.record import Job, Outcome

ALONE = WorkerFactories(evaluator="support.ray_stand_in:evaluator", gauge=None)
GAUGED = WorkerFactories(
    evaluator="support.ray_stand_in:evaluator", gauge="support.ray_stand_in:gauge"
)


class StandIn:
    """spec: `log`, a file that takes a line for every evaluation; `seconds` each takes; `dies`,
    trials whose first evaluation kills its worker; `always`, whose every one does.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec

    def evaluate(self, job: Job) -> Outcome:
        spec = self.spec
        write(spec["log"], f"begin {job.trial} {node()}")
        time.sleep(spec.get("seconds", 0.0))
        if job.trial in spec.get("always", ()):
            os.kill(os.getpid(), signal.SIGKILL)
        if job.trial in spec.get("dies", ()) and job.attempt == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.trial in spec.get("broken", ()):
            raise StorageError("no space left")
        write(spec["log"], f"end {job.trial} {node()}")
        return truth(job)


def truth(job: Job) -> Outcome:
    blocks = Architecture.from_json(job.architecture).blocks
    noise = random.Random(f"{job.digest}{job.seed}").gauss(0, 0.01)
    saved = sum(0.01 * int(item.site.split(".")[1]) for item in blocks)
    latency_ms = job.latency.latency_ms if job.latency else 1 + 0.1 * len(blocks)
    return make_outcome(
        loss=2 - saved + noise, accuracy=0.5 + saved / 4, latency_ms=latency_ms, seconds=1.0
    )


def evaluator(spec: dict[str, Any], worker: int) -> StandIn:
    if spec.get("stillborn"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "nowhere" in spec:
        raise StorageError(f"{spec['nowhere']} is not there")
    return StandIn(spec)


def gauge(spec: dict[str, Any]) -> Callable[[Architecture, int], object]:
    from nas.study.record import Latency

    def latency_of(architecture: Architecture, seed: int) -> Latency:
        write(spec["log"], f"measure {architecture.digest} {node()}")
        if len(architecture.blocks) in spec.get("unknown", ()):
            raise MeasurementError("the runtime knows no such operator\nand more")
        return Latency(5 + 0.1 * len(architecture.blocks), 6.0, 0.001)

    return latency_of


def raising() -> None:
    raise MeasurementError("no such operator")


def node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def write(log: str, line: str) -> None:
    with Path(log).open("a") as file:
        file.write(line + "\n")


def lines(log: Path, kind: str) -> list[tuple[str, str]]:
    """(trial or digest, node) of every event of a kind."""
    found = (line.split() for line in log.read_text().splitlines())
    return [(what, where) for event, what, where in found if event == kind]
