"""What Ray's actors do: one evaluates jobs, one measures latencies for all of them.

Jobs, outcomes and specs cross as plain values.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nas.base.errors import NasError, StorageError
from nas.base.object_store import is_remote
from nas.base.user_code import user_function
from nas.spec.architecture import Architecture
from nas.study.record import Job, Outcome

if TYPE_CHECKING:
    from nas.latency.measure import Latency

__all__ = ["Gauge", "JobEvaluator", "RayWorker", "WorkerFactories", "evaluator", "gauge"]


_CUT_OFF = "cut off from the node that latencies are measured on"


class JobEvaluator(Protocol):
    def evaluate(self, job: Job) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class WorkerFactories:
    """What workers are made of, by name (`module:function`), so that it is made where they are.

    evaluator: (spec, worker number) -> what evaluates. gauge: spec -> what measures a latency,
    (architecture, seed) -> Latency; None: the evaluator knows latencies without measuring.
    gauge_gpus: that it takes, where latencies are those of a GPU.
    """

    evaluator: str = "nas.execution.ray.workers:evaluator"
    gauge: str | None = "nas.execution.ray.workers:gauge"
    gauge_gpus: float = 0.0


def evaluator(spec: dict[str, Any], worker: int) -> JobEvaluator:
    """The evaluator of a search."""
    from nas.execution.evaluator import Evaluator, EvaluatorSpec

    given = EvaluatorSpec.from_dict(spec)
    for path in (given.data, given.checkpoints.parent):
        _seen(path)
    return Evaluator(given, worker=worker)


def gauge(spec: dict[str, Any]) -> Callable[[Architecture, int], Latency]:
    """Measures on the machine that it is made on."""
    from nas.data import open_data
    from nas.execution.evaluator import EvaluatorSpec
    from nas.latency.runtime import device_named
    from nas.latency.source import latency_measurer

    given = EvaluatorSpec.from_dict(spec)
    given = given.here()
    _seen(given.data)
    return latency_measurer(
        Architecture.from_json(given.anchor),
        given.anchor_ms,
        len(open_data(given.data).classes),
        device_named(given.device),
    )


def _seen(path: Path) -> None:
    if not is_remote(path) and not path.exists():
        raise StorageError(
            f"{path} is not there; put the run folder (--out) and the decoded images "
            "(XDG_CACHE_HOME) on a path that all nodes share, or name an object store (checkpoints)"
        )


class Gauge:
    """Measures one network at a time: what is measured beside others is not what it would be."""

    def __init__(self, maker: str, spec: dict[str, Any]) -> None:
        self._maker = maker
        self._spec = spec
        self._latency_of: Callable[[Architecture, int], Latency] | None = None

    def measure(self, architecture: str, seed: int) -> dict[str, Any]:
        """(ms, ms by the clock on the wall, spread) as `latency`; or why not: `failure`, of this
        network alone, or `broken`, of all.
        """
        try:
            if self._latency_of is None:
                made: Any = user_function(self._maker, "gauge")(self._spec)
                self._latency_of = made
        except NasError as error:
            return {"broken": f"latency cannot be measured on {socket.gethostname()}: {error}"}
        try:
            found = self._latency_of(Architecture.from_json(architecture), seed)
        except Exception as error:  # whatever a runtime raises costs its own trial alone
            return {"failure": str(error).partition("\n")[0] or type(error).__name__}
        return {"latency": (found.latency_ms, found.wall_ms, found.spread)}


class RayWorker:
    """Evaluates jobs one after another; loads data and torch once.

    gauge: handle of the actor that measures latencies; None: there is none.
    """

    def __init__(self, maker: str, spec: dict[str, Any], number: int, gauge: Any) -> None:
        self._maker = maker
        self._spec = spec
        self._number = number
        self._gauge = gauge
        self._evaluator: JobEvaluator | None = None

    def ready(self) -> dict[str, Any]:
        """`host`, once everything is loaded; or `broken`, and why no worker there can go on."""
        try:
            made: Any = user_function(self._maker, "evaluator")(self._spec, self._number)
        except NasError as error:
            return {"broken": f"{error} (on {socket.gethostname()})"}
        self._evaluator = made
        return {"host": socket.gethostname()}

    def evaluate(self, job: dict[str, Any]) -> dict[str, Any]:
        """An outcome as plain values; or `broken`, as above."""
        assert self._evaluator is not None, "ready() comes first"
        given = Job(**job)
        try:
            given = self._measured(given)
            return self._evaluator.evaluate(given).to_dict()
        except _Unmeasured as error:
            return error.outcome.to_dict()
        except NasError as error:
            return {"broken": f"{error} (on {socket.gethostname()})"}

    def _measured(self, job: Job) -> Job:
        """With its latency, measured where latencies are measured."""
        if self._gauge is None or job.latency is not None:
            return job
        import ray

        try:
            found = ray.get(self._gauge.measure.remote(job.architecture, job.seed))
        except ray.exceptions.RayActorError as error:
            raise _Unmeasured(Outcome(failure=_CUT_OFF, lost=True)) from error
        if "broken" in found:
            raise NasError(found["broken"])
        if "failure" in found:
            raise _Unmeasured(Outcome(failure=found["failure"]))
        return replace(job, latency=tuple(found["latency"]))


class _Unmeasured(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
