"""Who carries a search out, by the runner's name for it, and where latency is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.base.machine import usable_cores
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import (
    Executor,
    LatencyMachine,
    Observer,
    SilentObserver,
    on_this_machine,
)
from nas.execution.local import LocalExecutor
from nas.execution.workers.executor import WorkerExecutor
from nas.latency.runtime import clock_of, device_named
from nas.models.candidates import Candidates
from nas.runs.open_study import exchange_of, worker_terms
from nas.runs.prepare import make_search, prepare, worker_count
from nas.runs.run import Run, open_run, run_lock
from nas.strategy.search import Search
from nas.strategy.storage.store import Store

if TYPE_CHECKING:  # Ray is imported where it is chosen
    from nas.execution.ray.tune import TuneExecutor

__all__ = ["EXECUTORS", "latency_machine", "reopen_search", "tuning"]


def _local(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    return LocalExecutor(spec, workers=worker_count(run.file), log=run.path / "events.log")


def _worker(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    at_most = None if run.file.workers == "auto" else run.file.workers
    return WorkerExecutor(exchange_of(run, store), worker_terms(run, spec), workers=at_most)


def _ray(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    from nas.execution.ray.pool import RayExecutor

    return RayExecutor(**_on_ray(run, spec))


def _tune(run: Run, store: Store, spec: EvaluatorSpec) -> TuneExecutor:
    from nas.execution.ray.tune import TuneExecutor

    reopen = partial(reopen_search, run.path.resolve())
    return TuneExecutor(**_on_ray(run, spec), folder=run.path / "tune", reopen=reopen)


def _on_ray(run: Run, spec: EvaluatorSpec) -> dict[str, Any]:
    from nas.execution.ray.workers import WorkerFactories

    return {
        "spec": spec.to_dict(),
        "plan": run.file.ray,
        "workers": None if run.file.workers == "auto" else run.file.workers,
        "threads": spec.proxy.threads,
        "makers": WorkerFactories(gauge=None)
        if spec.profile
        else WorkerFactories(gauge_gpus=_gauge_gpus(run)),
    }


def _gauge_gpus(run: Run) -> float:
    """What measures latencies takes a GPU only where they are those of one."""
    if run.file.device_profile is not None:
        return 0.0
    on_gpu = clock_of(device_named(run.file.device)) == "device"
    return run.file.ray.gpus if on_gpu else 0.0


EXECUTORS: Mapping[str, Callable[[Run, Store, EvaluatorSpec], Executor]] = {
    "local": _local,
    "worker": _worker,
    "ray": _ray,
    "tune": _tune,
}


@contextmanager
def latency_machine(run: Run, observer: Observer) -> Iterator[LatencyMachine]:
    """Where latencies are measured; connected to a cluster where the executor needs one."""
    if run.file.executor not in {"ray", "tune"}:
        yield on_this_machine
        return
    from nas.execution.ray.cluster import connect

    cores = usable_cores() if run.file.workers == "auto" else run.file.workers * run.file.ray.cpus
    ray, gpus = run.file.ray, _gauge_gpus(run)
    with connect(ray, cores=cores, gauge_gpus=gpus, say=observer.stage) as place:
        yield place


@contextmanager
def tuning(path: str | Path) -> Iterator[TuneExecutor]:
    """A run's way through Ray Tune, for `ray.tune.Tuner.restore`: locked and connected while the
    context is open. Afterwards `nas resume` finishes the run and writes its results.
    """
    run, observer = open_run(path), SilentObserver()
    with run_lock(run.path), latency_machine(run, observer) as place:
        spec = prepare(run, Candidates(run.space), observer, place)
        yield _tune(run, Store(run.study, writable=False), spec)


def reopen_search(path: Path) -> Search:
    """The search of a run folder, as it stands; who goes on with it holds its lock."""
    run = open_run(path)
    store = Store(run.study, writable=True)
    return make_search(run, Candidates(run.space), store, time.monotonic())
