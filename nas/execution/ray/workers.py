"""The actors of Ray: one evaluates jobs, one measures latencies for all of them.

Jobs, outcomes and specs cross as plain values.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from nas.base.errors import NasError, StorageError
from nas.base.object_store import is_remote
from nas.base.user_code import user_function
from nas.spec.architecture import Architecture
from nas.study.record import Job, Latency, Outcome

__all__ = ["Gauge", "JobEvaluator", "RayWorker", "WorkerFactories", "evaluator", "gauge"]


_CUT_OFF = "cut off from the node that latencies are measured on"


class JobEvaluator(Protocol):
    """Whatever evaluates jobs, such as `nas.execution.evaluator.Evaluator`."""

    def evaluate(self, job: Job) -> Outcome:
        """Evaluate one job; whatever its candidate provokes, the outcome says what went wrong."""


@dataclass(frozen=True, slots=True)
class WorkerFactories:
    """The functions that workers are made with, by name, so that it is done where they are.

    evaluator: `module:function`, (spec, worker number) -> what evaluates.
    gauge: `module:function`, spec -> what measures a latency, (architecture, seed) -> Latency;
        None: the evaluator knows latencies without measuring.
    gauge_gpus: that measuring takes, where latencies are those of a GPU.
    """

    evaluator: str = "nas.execution.ray.workers:evaluator"
    gauge: str | None = "nas.execution.ray.workers:gauge"
    gauge_gpus: float = 0.0


def evaluator(spec: dict[str, Any], worker: int) -> JobEvaluator:
    """Make the evaluator of a search. Raises StorageError where its folders cannot be seen."""
    from nas.execution.evaluator import Evaluator, EvaluatorSpec

    evaluator_spec = EvaluatorSpec.from_dict(spec)
    for path in (evaluator_spec.data, evaluator_spec.checkpoints.parent):
        _check_reachable(path)
    return Evaluator(evaluator_spec, worker=worker)


def gauge(spec: dict[str, Any]) -> Callable[[Architecture, int], Latency]:
    """Make what measures latencies on this machine.

    Raises StorageError where the images cannot be seen.
    """
    from nas.execution.evaluator import EvaluatorSpec
    from nas.latency.runtime import device_named
    from nas.latency.source import latency_measurer

    evaluator_spec = EvaluatorSpec.from_dict(spec).fetch()
    _check_reachable(evaluator_spec.data)
    return latency_measurer(
        Architecture.from_json(evaluator_spec.anchor),
        evaluator_spec.anchor_ms,
        evaluator_spec.task,
        device_named(evaluator_spec.device),
    )


def _check_reachable(path: Path) -> None:
    if not is_remote(path) and not path.exists():
        raise StorageError(
            f"{path} is not there; put the run folder (--out) and the decoded images "
            "(XDG_CACHE_HOME) on a path that all nodes share, or name an object store (checkpoints)"
        )


class Gauge:
    """The actor that measures latencies, one at a time.

    What is measured beside others is not what it would be alone.
    """

    def __init__(self, maker: str, spec: dict[str, Any]) -> None:
        self._maker = maker
        self._spec = spec
        self._latency_of: Callable[[Architecture, int], Latency] | None = None

    def measure(self, architecture: str, seed: int) -> dict[str, Any]:
        """Measure a network.

        Returns {`latency`: (ms, ms by the clock on the wall, spread)}; or why not: `failure`, of
        this network alone, or `broken`, of all.
        """
        try:
            if self._latency_of is None:
                latency_of: Any = user_function(self._maker, "gauge")(self._spec)
                self._latency_of = latency_of
        except NasError as error:
            return {"broken": f"latency cannot be measured on {socket.gethostname()}: {error}"}
        try:
            latency = self._latency_of(Architecture.from_json(architecture), seed)
        except Exception as error:  # whatever a runtime raises costs its own trial alone
            return {"failure": str(error).partition("\n")[0] or type(error).__name__}
        return {"latency": (latency.latency_ms, latency.wall_ms, latency.spread)}


class RayWorker:
    """The actor that evaluates jobs one after another; it loads data and torch once.

    maker: `module:function` that makes the evaluator.
    spec: plain values for it.
    number: of this worker.
    gauge: handle of the actor that measures latencies; None: there is none.
    """

    def __init__(self, maker: str, spec: dict[str, Any], number: int, gauge: Any) -> None:
        self._maker = maker
        self._spec = spec
        self._number = number
        self._gauge = gauge
        self._evaluator: JobEvaluator | None = None

    def ready(self) -> dict[str, Any]:
        """Load everything.

        Returns {`host`: its name}; or `broken`, and why no worker there can go on.
        """
        try:
            evaluator: Any = user_function(self._maker, "evaluator")(self._spec, self._number)
        except NasError as error:
            return {"broken": f"{error} (on {socket.gethostname()})"}
        self._evaluator = evaluator
        return {"host": socket.gethostname()}

    def evaluate(self, job: dict[str, Any]) -> dict[str, Any]:
        """Evaluate a job. Returns its outcome as plain values; or `broken`, as `ready` does."""
        assert self._evaluator is not None, "ready() comes first"
        try:
            order = self._measure(Job.from_dict(job))
            return self._evaluator.evaluate(order).to_dict()
        except _Unmeasured as error:
            return error.outcome.to_dict()
        except NasError as error:
            return {"broken": f"{error} (on {socket.gethostname()})"}

    def _measure(self, job: Job) -> Job:
        """Return the job with its latency, measured where latencies are measured."""
        if self._gauge is None or job.latency is not None:
            return job
        import ray

        try:
            answer = ray.get(self._gauge.measure.remote(job.architecture, job.seed))
        except ray.exceptions.RayActorError as error:
            raise _Unmeasured(Outcome(failure=_CUT_OFF, lost=True)) from error
        if "broken" in answer:
            raise NasError(answer["broken"])
        if "failure" in answer:
            raise _Unmeasured(Outcome(failure=answer["failure"]))
        return replace(job, latency=Latency(*answer["latency"]))


class _Unmeasured(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
