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
from nas.execution.executor import Executor, Observer, Place, Silent, here
from nas.execution.local import LocalExecutor
from nas.execution.workers.executor import WorkerExecutor
from nas.latency.runtime import clock_of, device_named
from nas.models.candidates import Candidates
from nas.runs.open_study import exchange_of, terms_of
from nas.runs.prepare import core_of, prepared, worker_count
from nas.runs.run import Run, locked, open_run
from nas.strategy.search import Search
from nas.strategy.storage.store import Store

if TYPE_CHECKING:  # Ray is imported where it is chosen
    from nas.execution.ray.tune import TuneExecutor

__all__ = ["EXECUTORS", "place_of", "reopened", "tuning"]


def _local(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    return LocalExecutor(spec, workers=worker_count(run.file), log=run.path / "events.log")


def _worker(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    at_most = None if run.file.workers == "auto" else run.file.workers
    return WorkerExecutor(exchange_of(run, store), terms_of(run, spec), workers=at_most)


def _ray(run: Run, store: Store, spec: EvaluatorSpec) -> Executor:
    from nas.execution.ray.pool import RayExecutor

    return RayExecutor(**_on_ray(run, spec))


def _tune(run: Run, store: Store, spec: EvaluatorSpec) -> TuneExecutor:
    from nas.execution.ray.tune import TuneExecutor

    reopen = partial(reopened, run.path.resolve())
    return TuneExecutor(**_on_ray(run, spec), folder=run.path / "tune", reopen=reopen)


def _on_ray(run: Run, spec: EvaluatorSpec) -> dict[str, Any]:
    from nas.execution.ray.workers import Makers

    return {
        "spec": spec.to_dict(),
        "plan": run.file.ray,
        "workers": None if run.file.workers == "auto" else run.file.workers,
        "threads": spec.proxy.threads,
        "makers": Makers(gauge=None) if spec.profile else Makers(gauge_gpus=_gauge_gpus(run)),
    }


def _gauge_gpus(run: Run) -> float:
    """What measures latencies takes a GPU only where they are those of one."""
    if run.file.device.endswith(".json"):
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
def place_of(run: Run, observer: Observer) -> Iterator[Place]:
    """Where latencies are measured; connected to a cluster where the executor needs one."""
    if run.file.executor not in {"ray", "tune"}:
        yield here
        return
    from nas.execution.ray.cluster import connected

    cores = usable_cores() if run.file.workers == "auto" else run.file.workers * run.file.ray.cpus
    ray, gpus = run.file.ray, _gauge_gpus(run)
    with connected(ray, cores=cores, gauge_gpus=gpus, say=observer.stage) as place:
        yield place


@contextmanager
def tuning(path: str | Path) -> Iterator[TuneExecutor]:
    """A run's way through Ray Tune, for `ray.tune.Tuner.restore`: locked and connected while the
    context is open. Afterwards `nas resume` finishes the run and writes its results.
    """
    run, observer = open_run(path), Silent()
    with locked(run.path), place_of(run, observer) as place:
        spec = prepared(run, Candidates(run.space), observer, place)
        yield _tune(run, Store(run.study, writable=False), spec)


def reopened(path: Path) -> Search:
    """The search of a run folder, as it stands; who goes on with it holds its lock."""
    run = open_run(path)
    store = Store(run.study, writable=True)
    return core_of(run, Candidates(run.space), store, time.monotonic())
