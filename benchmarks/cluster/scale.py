"""What an executor costs beside the trials: time of each, the driver's memory, and when a driver
becomes too slow for its workers.

    python -m benchmarks.cluster.scale overhead --executor core local ray --trials 10000
    python -m benchmarks.cluster.scale storages --storage journal sqlite postgresql --trials 10000
    python -m benchmarks.cluster.scale ideal --executor local ray --workers 2 --trials 200
    python -m benchmarks.cluster.scale saturation --workers 1000 --sampler random pareto

`overhead`: trials that do nothing; `core` is the search and its study alone. `storages`: what such
a trial takes with its study in each, and reading that study anew. `ideal`: trials of
one second that sleep; their share of the time that no overhead would leave. `saturation`: on a
virtual clock, where trials take no time but that of the clock, and what the driver does counts its
processor time here. Processor time also stands beside `overhead`: by the clock on the wall, a
machine with other work to do says little.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from benchmarks.shared.database_servers import SERVERS
from benchmarks.shared.report import print_machine, print_table
from nas.execution.executor import Executor
from nas.execution.observer import SilentObserver
from nas.execution.simulated import SimulatedExecutor
from nas.models.candidates import Candidates
from nas.spec.objective import objectives_named
from nas.spec.runner import Proxy, Ray
from nas.spec.search_plan import SearchPlan
from nas.spec.space import Constraints, SearchSpace
from nas.spec.storage_url import StorageUrl
from nas.spec.task import Task
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.record import Evaluation, Job, Outcome, Record

MODULE = "benchmarks.cluster.scale"
SPACE = {
    "name": "scale",
    "backbones": ["mobilenetv2_035"],
    "resolutions": [32],
    "total_stride": 16,
    "sites": {"granularity": "block"},
    "blocks": {
        "se": {"reduction": [8, 16, 24, 32]},
        "coord": {"reduction": [8, 16, 32]},
        "eca": {},
    },
}
_LENGTHS = (1, 3, 10, 30, 100, 300, 1000, 3000)
_MEMORY_POINTS = 5


def evaluated(job: Job) -> Outcome:
    """Some values that depend on the network alone."""
    draw = random.Random(job.digest)
    return Outcome(
        Evaluation(
            loss=1 + draw.random(),
            accuracy=0.5,
            latency_ms=1 + draw.random(),
            latency_wall_ms=None,
            latency_spread=0.0,
            params=1,
            macs=1,
            images=1,
            seconds=0.0,
            train_seconds=0.0,
        )
    )


class Sleeper:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def evaluate(self, job: Job) -> Outcome:
        time.sleep(self.seconds)
        return evaluated(job)


def ray_evaluator(spec: dict[str, Any], worker: int) -> Sleeper:
    return Sleeper(spec["seconds"])


# The executors: another one is another line in the table.


class _Core:
    """Evaluates in the driver itself."""

    def run(self, search: Search, observer: Any) -> None:
        while not search.finished:
            if (job := search.ask()) is not None:
                observer.started(job)
                record = search.tell(job, evaluated(job))
                assert record is not None
                observer.finished(record)


@contextmanager
def _core(workers: int, seconds: float, folder: Path) -> Iterator[Executor]:
    yield _Core()


@contextmanager
def _local(workers: int, seconds: float, folder: Path) -> Iterator[Executor]:
    from nas.execution.evaluator import EvaluatorSpec
    from nas.execution.local import LocalExecutor

    nowhere = Path("nowhere")
    spec = EvaluatorSpec(nowhere, nowhere, Proxy(), Constraints(), (), "{}", 1.0, Task())
    program = (sys.executable, "-m", MODULE, "worker", str(seconds))
    yield LocalExecutor(spec, workers=workers, log=folder / "log", program=program)


@contextmanager
def _ray(workers: int, seconds: float, folder: Path) -> Iterator[Executor]:
    from nas.execution.ray.cluster import connect
    from nas.execution.ray.workers import WorkerFactories

    plan = Ray()
    with connect(plan, cores=workers, say=print):
        from nas.execution.ray.pool import RayExecutor

        makers = WorkerFactories(evaluator=f"{MODULE}:ray_evaluator", gauge=None)
        yield RayExecutor({"seconds": seconds}, plan, workers=workers, makers=makers)


STORAGES = ("journal", "sqlite", *SERVERS)
EXECUTORS = {"core": _core, "local": _local, "ray": _ray}


class Meter(SilentObserver):
    """The time from the first job's start to the last one's end, and the memory on the way."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.done = 0
        self.began = self.ended = 0.0
        self.processor_began = self.processor_ended = 0.0
        self.megabytes: list[float] = []

    def started(self, job: Job) -> None:
        self.began = self.began or time.perf_counter()
        self.processor_began = self.processor_began or time.process_time()

    def finished(self, record: Record) -> None:
        self.ended = time.perf_counter()
        self.processor_ended = time.process_time()
        self.done += 1
        if self.done % self.every == 0:
            self.megabytes.append(_resident_megabytes())

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def processor_seconds(self) -> float:
        return self.processor_ended - self.processor_began


def _resident_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def carried_out(name: str, *, workers: int, seconds: float, trials: int) -> Meter:
    meter = Meter(max(1, trials // _MEMORY_POINTS))
    with tempfile.TemporaryDirectory() as folder:
        search = searched(Path(folder) / "study.journal", trials, "random")
        with EXECUTORS[name](workers, seconds, Path(folder)) as executor:
            executor.run(search, meter)
    return meter


def searched(where: Path | StorageUrl, trials: int, sampler: Any) -> Search:
    candidates = Candidates(SearchSpace.model_validate(SPACE))
    plan = SearchPlan(trials=trials, sampler=sampler, confirm_seeds=1, patience=None)
    store = Store.create(where, objectives_named(plan.objectives))
    figures = (
        SpaceFigures(candidates, task=Task(outputs=10), profile=None)
        if sampler == "pareto"
        else None
    )
    return Search(candidates, plan, store, figures=figures)


def overhead(names: list[str], *, workers: int, trials: int) -> None:
    rows = []
    for name in names:
        meter = carried_out(name, workers=workers, seconds=0.0, trials=trials)
        megabytes = " ".join(f"{value:.0f}" for value in meter.megabytes)
        wall, processor = meter.seconds / meter.done, meter.processor_seconds / meter.done
        rows.append(
            [name, f"{meter.done:,}", f"{1e3 * wall:.2f}", f"{1e3 * processor:.2f}", megabytes]
        )
    print(f"{workers} workers; memory of the driver after each fifth of the trials")
    print_table(["executor", "trials", "ms per trial", "driver's CPU ms", "MB"], rows)


@contextmanager
def _place(storage: str) -> Iterator[Path | StorageUrl]:
    """Where nothing is yet."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if storage == "journal":
            yield folder / "study.journal"
        elif storage == "sqlite":
            yield StorageUrl.parse(f"sqlite:///{folder}/study.db").of("scale")
        else:
            server = stack.enter_context(SERVERS[storage]())
            yield StorageUrl.parse(server.url).of("scale")


def storages(names: list[str], *, trials: int) -> None:
    rows = []
    for name in names:
        with _place(name) as where:
            meter = Meter(trials)
            _Core().run(searched(where, trials, "random"), meter)
            began, processor = time.perf_counter(), time.process_time()
            assert len(Store(where, writable=False).trials()) == trials
            opened = time.perf_counter() - began, time.process_time() - processor
        each = meter.seconds / meter.done, meter.processor_seconds / meter.done
        rows.append(
            [name, *(f"{1e3 * value:.2f}" for value in each), *(f"{value:.1f}" for value in opened)]
        )
    print(f"{trials:,} trials that do nothing, by the search core alone")
    headings = ["storage", "ms per trial", "driver's CPU ms", "s to read all", "CPU s"]
    print_table(headings, rows)


def ideal(names: list[str], *, workers: int, trials: int, seconds: float) -> None:
    rows = []
    for name in names:
        meter = carried_out(name, workers=workers, seconds=seconds, trials=trials)
        least = meter.done * seconds / workers
        rows.append(
            [name, f"{meter.done:,}", f"{meter.seconds:.1f}", f"{least / meter.seconds:.1%}"]
        )
    print(f"{workers} workers, trials of {seconds:g} s")
    print_table(["executor", "trials", "seconds", "of ideal"], rows)


# 1,000 workers.


class Timed:
    """A search whose driver's processor time is noted, job by job."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self.costs: list[float] = []
        self._since = 0.0

    @property
    def finished(self) -> bool:
        return self._search.finished

    def ask(self) -> Job | None:
        began = time.process_time()
        job = self._search.ask()
        self._since += time.process_time() - began
        return job

    def tell(self, job: Job, outcome: Outcome) -> Record | None:
        began = time.process_time()
        record = self._search.tell(job, outcome)
        self.costs.append(self._since + time.process_time() - began)
        self._since = 0.0
        return record


def driver_costs(sampler: str, *, workers: int, trials: int) -> list[float]:
    """Seconds of the driver for each trial, with so many workers that overtake each other."""
    lengths = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        timed = Timed(searched(Path(folder) / "study.journal", trials, sampler))
        executor = SimulatedExecutor(
            evaluated, seconds=lambda job: lengths.uniform(0.8, 1.2), workers=workers
        )
        executor.run(cast(Search, timed))
    return timed.costs


def share_of_ideal(
    costs: Sequence[float], *, workers: int, seconds: float, message: float, gauge: float
) -> float:
    """With a driver that does one thing at a time, and one machine that measures latencies."""
    lengths = random.Random(0)
    free = [0.0] * workers
    driver = measured = ended = 0.0
    for cost in costs:
        # What came back, and the next job, are handled together; the worker waits meanwhile.
        driver = max(driver, heapq.heappop(free)) + cost + message
        begins = driver
        if gauge:
            begins = measured = max(measured, driver) + gauge
        end = begins + seconds * lengths.uniform(0.8, 1.2)
        ended = max(ended, end)
        heapq.heappush(free, end)
    return min(1.0, len(costs) * seconds / workers / ended)


def saturation(
    samplers: list[str], *, workers: int, trials: int, message_ms: float, gauge_s: float
) -> None:
    """message_ms: of the driver's time for each job's way there and back. gauge_s: of a latency,
    where one machine measures all of them. Long searches are as many jobs as the workers do in
    fifty rounds, at the cost of the last thousand.
    """
    rows = []
    for sampler in samplers:
        late = driver_costs(sampler, workers=workers, trials=trials)[-1000:]
        costs = list(itertools.islice(itertools.cycle(late), 50 * workers))
        for gauge in (0.0, gauge_s):
            shares = [
                share_of_ideal(
                    costs,
                    workers=workers,
                    seconds=float(seconds),
                    message=message_ms / 1e3,
                    gauge=gauge,
                )
                for seconds in _LENGTHS
            ]
            named = f"{sampler}, latency {'measured' if gauge else 'predicted'}"
            rows.append([named, f"{1e3 * fmean(late):.1f}", *(f"{share:.0%}" for share in shares)])
    print(
        f"{workers:,} workers: share of ideal by the length of trials; {message_ms:g} ms of "
        f"messages, {gauge_s:g} s for a latency; the driver after {trials:,} trials"
    )
    print_table(["", "driver ms", *(f"{length} s" for length in _LENGTHS)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    doing = parser.add_subparsers(dest="what", required=True)
    worker = doing.add_parser("worker", help=argparse.SUPPRESS)
    worker.add_argument("seconds", type=float)
    for name in ("overhead", "ideal"):
        part = doing.add_parser(name)
        part.add_argument("--executor", nargs="+", default=[*EXECUTORS], choices=EXECUTORS)
        part.add_argument("--workers", type=int, default=2)
        part.add_argument("--trials", type=int, default=10_000)
        part.add_argument("--seconds", type=float, default=1.0)
    part = doing.add_parser("storages")
    part.add_argument("--storage", nargs="+", default=["journal"], choices=STORAGES)
    part.add_argument("--trials", type=int, default=10_000)
    part = doing.add_parser("saturation")
    part.add_argument("--sampler", nargs="+", default=["random", "pareto"])
    part.add_argument("--workers", type=int, default=1000)
    part.add_argument("--trials", type=int, default=4000)
    part.add_argument("--message-ms", type=float, default=1.0)
    part.add_argument("--gauge-s", type=float, default=1.0)
    given = parser.parse_args()
    if given.what == "worker":
        from nas.execution.workers.local_worker import serve

        serve(lambda *_: nullcontext([Sleeper(given.seconds).evaluate]))
        return
    print_machine("ray", "optuna")
    if given.what == "overhead":
        overhead(given.executor, workers=given.workers, trials=given.trials)
    elif given.what == "storages":
        storages(given.storage, trials=given.trials)
    elif given.what == "ideal":
        names = [name for name in given.executor if name != "core"]
        ideal(names, workers=given.workers, trials=given.trials, seconds=given.seconds)
    else:
        saturation(
            given.sampler,
            workers=given.workers,
            trials=given.trials,
            message_ms=given.message_ms,
            gauge_s=given.gauge_s,
        )


if __name__ == "__main__":
    main()
