"""The executors of searches, by the runner's names for them, and where latency is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.base.machine import usable_cores
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import Executor, LatencyMachine, on_this_machine
from nas.execution.in_process import InProcessExecutor
from nas.execution.local import LocalExecutor
from nas.execution.observer import Observer, SilentObserver
from nas.execution.workers.worker_executor import WorkerExecutor
from nas.latency.runtime import clock_of, device_named
from nas.runs.lock import run_lock
from nas.runs.open_study import exchange_of, worker_terms
from nas.runs.prepare import SearchInputs, make_search, prepare, worker_count
from nas.runs.run import Run, open_run
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.training.device import visible_gpus
from nas.training.proxies import PROXIES

if TYPE_CHECKING:  # Ray is imported where it is chosen
    from nas.execution.ray.tune import TuneExecutor

__all__ = ["EXECUTORS", "latency_machine", "reopen_search", "tuning"]


def _local(inputs: SearchInputs, store: Store, spec: EvaluatorSpec) -> Executor:
    run = inputs.run
    if run.in_process:
        return InProcessExecutor(spec)
    gpus = visible_gpus()
    # Of a supernet's weights nothing is trained that could be measured.
    measured = gpus and run.file.workers == "auto" and not PROXIES[run.file.proxy.kind].shared
    workers = None if measured else worker_count(run.file)
    placed = list(inputs.candidates.references().values())[-1]  # a probe trains blocks alone
    return LocalExecutor(
        spec,
        workers=workers,
        gpus=gpus,
        side_by_side=run.file.side_by_side,
        measured_on=placed.to_json(),
        log=run.path / "events.log",
    )


def _worker(inputs: SearchInputs, store: Store, spec: EvaluatorSpec) -> Executor:
    run = inputs.run
    at_most = None if run.file.workers == "auto" else run.file.workers
    terms = worker_terms(run, spec, data_key=inputs.data["key"])
    return WorkerExecutor(exchange_of(run, store), terms, workers=at_most)


def _ray(inputs: SearchInputs, store: Store, spec: EvaluatorSpec) -> Executor:
    from nas.execution.ray.pool import RayExecutor

    return RayExecutor(**_on_ray(inputs.run, spec))


def _tune(inputs: SearchInputs, store: Store, spec: EvaluatorSpec) -> TuneExecutor:
    from nas.execution.ray.tune import TuneExecutor

    run = inputs.run
    reopen = partial(reopen_search, run.path.resolve())
    return TuneExecutor(**_on_ray(run, spec), folder=run.path / "tune", reopen=reopen)


def _on_ray(run: Run, spec: EvaluatorSpec) -> dict[str, Any]:
    """Return the fields that both executors on Ray have."""
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
    """Return the share of a GPU that measuring takes: none where latencies are not those of one."""
    if run.file.device_profile is not None:
        return 0.0
    on_gpu = clock_of(device_named(run.file.device)) == "device"
    return run.file.ray.gpus if on_gpu else 0.0


EXECUTORS: Mapping[str, Callable[[SearchInputs, Store, EvaluatorSpec], Executor]] = {
    "local": _local,
    "worker": _worker,
    "ray": _ray,
    "tune": _tune,
}


@contextmanager
def latency_machine(run: Run, observer: Observer) -> Iterator[LatencyMachine]:
    """Yield where latencies are measured; connected to a cluster where the executor needs one."""
    if run.file.executor not in {"ray", "tune"}:
        yield on_this_machine
        return
    from nas.execution.ray.cluster import connect

    cores = usable_cores() if run.file.workers == "auto" else run.file.workers * run.file.ray.cpus
    ray, gpus = run.file.ray, _gauge_gpus(run)
    with connect(ray, cores=cores, gauge_gpus=gpus, say=observer.stage) as machine:
        yield machine


@contextmanager
def tuning(path: str | Path) -> Iterator[TuneExecutor]:
    """Yield a run's way through Ray Tune, for `ray.tune.Tuner.restore`.

    The run is locked and connected while the context is open. Afterwards `nas resume` finishes
    the run and writes its results.
    """
    run, observer = open_run(path), SilentObserver()
    with run_lock(run.path), latency_machine(run, observer) as machine:
        inputs = SearchInputs.read(run)
        spec = prepare(inputs, observer, machine)
        yield _tune(inputs, Store(run.study, writable=False), spec)


def reopen_search(path: Path) -> Search:
    """Open the search of a run folder as it stands; who goes on with it holds its lock."""
    run = open_run(path)
    store = Store(run.study, writable=True)
    return make_search(SearchInputs.read(run), store, time.monotonic())
