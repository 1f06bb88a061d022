"""The processes of a search under faults: its driver, its workers, and what they evaluate.

Run by chaos.py: python -m benchmarks.cluster.chaos_processes drive|work|stand-in [FOLDER]
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.study.record import COMPLETE, FAILED, PRUNED, Evaluation, Job, Outcome

if TYPE_CHECKING:
    from nas.execution.exchange import Exchange
    from nas.runs.run import Run
    from nas.strategy.search import Search

MODULE = "benchmarks.cluster.chaos_processes"
PROGRAM = (sys.executable, "-m", MODULE)
LEASE = 3.0
SECONDS = 0.4  # of one evaluation, on average
ENDED = (COMPLETE, PRUNED, FAILED)
TRIAL_END = re.compile(rf"trial (\d+) (?:{'|'.join(ENDED)})")


# The stand-in.


def evaluate(job: Job) -> Outcome:
    """By the digest alone: some fail, some exceed a limit, the others save what they cost."""
    chance = random.Random(f"{job.digest} {job.seed}")
    time.sleep(SECONDS * random.uniform(0.2, 1.8))
    return outcome_of(job, chance)


def outcome_of(job: Job, chance: random.Random | None = None) -> Outcome:
    chance = chance or random.Random(f"{job.digest} {job.seed}")
    if job.reference is None:
        fate = chance.random()
        if fate < 0.03:
            return Outcome(failure="the stand-in fails it")
        if fate < 0.06:
            return Outcome(failure="the stand-in finds it too large", infeasible=True)
    loss, latency_ms = chance.uniform(1, 2), chance.uniform(1, 2)
    return Outcome(
        Evaluation(loss, 0.5, latency_ms, latency_ms, 0.01, 1000, 1000, 100, SECONDS, SECONDS)
    )


# The processes.


def drive(folder: Path) -> None:
    """Start the search, or go on with it, as `nas search` and `nas resume` do."""
    from nas.base.errors import NasError
    from nas.execution.observer import EventLog
    from nas.runs.choose_executor import latency_machine
    from nas.runs.lock import run_lock
    from nas.runs.open_study import open_study
    from nas.runs.run import open_run

    run, events = open_run(folder), EventLog(folder / "events.log")
    try:
        with run_lock(folder), open_study(run, events.stage) as store, latency_machine(run, events):
            EXECUTORS[run.file.executor].executor(run, store).run(search_of(run, store), events)
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def search_of(run: Run, store: Any) -> Search:
    from nas.models.candidates import Candidates
    from nas.strategy.search import Search

    return Search(Candidates(run.space), run.file.search, store)


def work(folder: Path) -> None:
    """One independent worker."""
    from nas.execution.workers.worker_process import WorkerProcess

    exchange: Exchange
    settings = json.loads((folder / "chaos.json").read_text())
    if settings["address"] is None:
        from nas.execution.exchange.folder import FolderExchange

        exchange = FolderExchange(folder / "jobs")
    else:
        from nas.execution.exchange.study import StudyExchange
        from nas.spec.storage_url import StorageUrl
        from nas.strategy.storage.database import connect

        address = StorageUrl.parse(settings["address"])
        exchange = StudyExchange(connect(address), address.study or "")
    while exchange.terms() is None:
        time.sleep(0.2)
    process = WorkerProcess(
        exchange, evaluate, lease=LEASE, grace=0.1, say=lambda text: print(text, flush=True)
    )
    process.run()


def stand_in() -> None:
    from nas.execution.workers.local_worker import serve

    serve(lambda spec, number, at_a_time: nullcontext([evaluate]))


class InRay:
    """What Ray's workers are made of, by name."""

    def __init__(self, spec: dict[str, Any], number: int) -> None:
        self.evaluate = evaluate


# The executors: another one is another line in the table.


@dataclass(frozen=True)
class Kind:
    """executor: made by the driver, of a run and its store. own_workers: the driver starts them
    itself. faults: weights of what happens. cluster: the workers are on the nodes of a Ray
    cluster, which are killed, too.
    """

    executor: Callable[[Run, Any], Any]
    own_workers: bool
    faults: dict[str, float]
    cluster: bool = False


def _local(run: Run, store: Any) -> Any:
    from nas.execution.local import LocalExecutor

    program = (*PROGRAM, "stand-in")
    log = run.path / "workers.log"
    return LocalExecutor(_spec(run), workers=int(run.file.workers), log=log, program=program)


def _worker(run: Run, store: Any) -> Any:
    from nas.execution.exchange import WorkerTerms
    from nas.execution.workers.worker_executor import WorkerExecutor
    from nas.runs.open_study import exchange_of

    terms = WorkerTerms(spec={}, versions={}, data="none", lease=LEASE)
    return WorkerExecutor(exchange_of(run, store), terms)


def _ray(run: Run, store: Any) -> Any:
    from nas.execution.ray.pool import RayExecutor

    return RayExecutor(**_on_ray(run))


def _tune(run: Run, store: Any) -> Any:
    from nas.execution.ray.tune import TuneExecutor

    return TuneExecutor(**_on_ray(run), folder=run.path.resolve() / "tune")


def _on_ray(run: Run) -> dict[str, Any]:
    from nas.execution.ray.workers import WorkerFactories

    makers = WorkerFactories(evaluator=f"{MODULE}:InRay", gauge=None)
    return {"spec": {}, "plan": run.file.ray, "makers": makers}


def _spec(run: Run) -> Any:
    from nas.execution.evaluator import EvaluatorSpec
    from nas.spec.task import Task

    nowhere = Path("nowhere")
    return EvaluatorSpec(
        nowhere, nowhere, run.file.proxy, run.space.constraints, (), "{}", 1.0, Task()
    )


_CLUSTER_FAULTS: dict[str, float] = {
    "kill worker": 5,
    "freeze worker": 2,
    "kill node": 3,
    "freeze node beyond its lease": 2,
    "kill head": 1,
    "kill driver": 2,
    "freeze driver": 1,
}
EXECUTORS = {
    "local": Kind(
        _local,
        True,
        {"kill worker": 6, "freeze worker": 2, "kill driver": 2, "freeze driver": 1},
    ),
    "worker": Kind(
        _worker,
        False,
        {
            "kill worker": 5,
            "freeze worker": 2,
            "freeze worker beyond its lease": 2,
            "terminate worker": 2,
            "kill driver": 2,
            "freeze driver": 1,
            "freeze driver beyond its lease": 1,
            "second driver": 1,
        },
    ),
    "ray": Kind(_ray, True, _CLUSTER_FAULTS, cluster=True),
    "tune": Kind(_tune, True, _CLUSTER_FAULTS, cluster=True),
}
STORAGES = ("journal", "sqlite", "postgresql", "mysql")
DATABASE_FAULTS = {"kill database": 2, "freeze database": 1}


def main() -> None:
    roles: dict[str, Callable[[], None]] = {
        "drive": lambda: drive(Path(sys.argv[2])),
        "work": lambda: work(Path(sys.argv[2])),
        "stand-in": stand_in,
    }
    roles[sys.argv[1]]()


if __name__ == "__main__":
    main()
