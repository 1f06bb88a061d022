"""Nothing lost, whatever dies: a search whose processes, nodes and database are killed and frozen.

A stand-in evaluation takes a fraction of a second and depends on the network alone, so that the
search can be held against one that nothing happened to. Faults come at random moments, seeded.
In the end every trial is accounted for: each ended once, with the outcome that its network has;
no outcome was accepted twice; nothing runs; and the front is that of the run without faults.

Run: python benchmarks/chaos.py --executor worker --storage postgresql
     python benchmarks/chaos.py --executor ray
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import children

from nas.study.record import COMPLETE, FAILED, PRUNED, Evaluation, Job, Outcome, Record

if TYPE_CHECKING:
    from ray_nodes import Nodes

    from nas.execution.exchange import Exchange
    from nas.models.candidates import Candidates
    from nas.runs.run import Run
    from nas.strategy.search import Search

SPACE = """
name: chaos
backbones: [mobilenetv2_035]
resolutions: [32]
total_stride: 16
sites: {granularity: stage, exclude: ["blocks.0.*"]}
blocks:
  se: {reduction: [8, 24]}
  eca: {}
"""
LEASE = 3.0
SECONDS = 0.4  # of one evaluation, on average
ENDED = (COMPLETE, PRUNED, FAILED)
_ENDS = re.compile(rf"trial (\d+) (?:{'|'.join(ENDED)})")


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
    from nas.runs.executors import latency_machine
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

    serve(lambda spec, number: evaluate)


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

    program = (sys.executable, __file__, "stand-in")
    log = run.path / "workers.log"
    return LocalExecutor(_spec(run), workers=int(run.file.workers), log=log, program=program)


def _worker(run: Run, store: Any) -> Any:
    from nas.execution.exchange import WorkerTerms
    from nas.execution.workers.executor import WorkerExecutor
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

    makers = WorkerFactories(evaluator="chaos:InRay", gauge=None)
    return {"spec": {}, "plan": run.file.ray, "makers": makers}


def _spec(run: Run) -> Any:
    from nas.execution.evaluator import EvaluatorSpec

    nowhere = Path("nowhere")
    return EvaluatorSpec(nowhere, nowhere, run.file.proxy, run.space.constraints, (), "{}", 1.0)


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


# What happens to them.


class Chaos:
    """A search in a folder, its processes, and what is done to them."""

    def __init__(
        self,
        run: Run,
        executor: str,
        *,
        workers: int,
        seed: int,
        database: Any | None,
        nodes: Nodes | None,
    ) -> None:
        self.folder = run.path
        self.run_folder = run
        self.exchange: Exchange | None = None
        self.kind = EXECUTORS[executor]
        self.database = database
        self.nodes = nodes
        self.chance = random.Random(seed)
        self.wanted = workers
        self.happened: Counter[str] = Counter()
        self.drivers: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.thaws: list[tuple[float, list[int]]] = []
        self.refused = self.started = 0

    def run(self, faults: int, trials: int, *, limit: float) -> None:
        """Until the search is finished. faults: spread at random over its trials."""
        weights = self.kind.faults | (DATABASE_FAULTS if self.database else {})
        end = time.monotonic() + limit
        due = sorted(self.chance.randrange(3, int(0.95 * trials)) for _ in range(faults))
        while not self._finished():
            assert time.monotonic() < end, f"not finished; see {self.folder}"
            self._keep_up()
            if due and self._ended() >= due[0] and self._searching():
                (name,) = self.chance.choices(list(weights), list(weights.values()))
                if self._do(name):
                    self._note(name)
                    due.pop(0)
                time.sleep(self.chance.uniform(0.05, 0.5))
            time.sleep(0.05)
        self._thaw(FOREVER)

    def _note(self, name: str) -> None:
        self.happened[name] += 1
        with (self.folder / "faults.log").open("a") as file:
            file.write(f"{time.strftime('%H:%M:%S')} after {self._ended()} trials: {name}\n")

    def _ended(self) -> int:
        """Trials that the driver has told the end of."""
        try:
            text = (self.folder / "events.log").read_text()
        except OSError:
            return 0
        return len(_ENDS.findall(text))

    def stop(self) -> None:
        self._thaw(FOREVER)
        for process in (*self.workers, *self.drivers):
            if process.poll() is None:
                process.kill()
            process.wait()

    def _finished(self) -> bool:
        return any(process.poll() == 0 for process in self.drivers)

    def _searching(self) -> bool:
        """The driver is up, and has heard of trials: faults hit a search and not its start."""
        try:
            lines = (self.folder / "events.log").read_bytes().count(b"\n")
        except OSError:
            return False
        if lines > self.started:
            return True
        return False

    def _keep_up(self) -> None:
        self._thaw(time.monotonic())
        if self.nodes and not self.thaws:
            self.nodes.mend()
        for process in list(self.drivers):
            if process.poll() not in {None, 0}:
                self.drivers.remove(process)
        if not self.drivers:
            self.drivers.append(self._start("drive", "driver.log"))
            with contextlib.suppress(OSError):
                self.started = (self.folder / "events.log").read_bytes().count(b"\n")
        if not self.kind.own_workers:
            self.workers = [process for process in self.workers if process.poll() is None]
            while len(self.workers) < self.wanted:
                self.workers.append(self._start("work", "workers.log"))

    def _start(self, role: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                [sys.executable, __file__, role, str(self.folder)],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=os.environ | (self.nodes.environment if self.nodes else {}),
                process_group=0,
            )

    def _do(self, name: str) -> bool:
        driver = self.drivers[-1].pid
        worker = self._victim()
        if name == "kill database":
            self._restart_database()
        elif name == "freeze database":
            self._freeze_database()
        elif name == "second driver":
            return self._second_driver()
        elif "node" in name or "head" in name:
            return self._hit_cluster(name)
        elif "driver" in name:
            hit = self._hit(driver, name)
            if hit and name.startswith("kill"):
                self.drivers[-1].wait()  # or a second one would be taken for refused, and drive
            return hit
        elif worker is not None:
            return self._hit(worker, name)
        else:
            return False
        return True

    def _victim(self) -> int | None:
        """One that is at work, rather than one that is still starting."""
        if self.nodes:
            found = self.nodes.workers()
        elif self.kind.own_workers:
            found = children(self.drivers[-1].pid)
        else:
            found = [process.pid for process in self.workers if process.poll() is None]
            found = [item for item in self._busy() if item in found] or found
        frozen = {process for _, group in self.thaws for process in group}
        found = [process for process in found if process not in frozen]
        return self.chance.choice(found) if found else None

    def _hit_cluster(self, name: str) -> bool:
        if self.nodes is None or self.thaws:
            return False
        if name == "kill head":
            self.nodes.kill_head()
        elif name == "kill node":
            self.nodes.kill_node(self.chance)
        else:
            until = time.monotonic() + self.chance.uniform(1.5, 2.5) * LEASE
            self.thaws.append((until, self.nodes.freeze_node(self.chance)))
        return True

    def _busy(self) -> list[int]:
        from nas.runs.open_study import exchange_of

        self.exchange = self.exchange or exchange_of(self.run_folder)
        return [item.process["pid"] for item in self.exchange.workers() if item.ticket]

    def _hit(self, process: int, name: str) -> bool:
        if any(process in group for _, group in self.thaws):
            return False
        with contextlib.suppress(ProcessLookupError):
            if name.startswith("freeze"):
                os.kill(process, signal.SIGSTOP)
                beyond = "beyond" in name
                seconds = self.chance.uniform(1.5, 2.5) * LEASE if beyond else LEASE / 4
                self.thaws.append((time.monotonic() + seconds, [process]))
            else:
                term = name.startswith("terminate")
                os.kill(process, signal.SIGTERM if term else signal.SIGKILL)
            return True
        return False

    def _second_driver(self) -> bool:
        """While the first one lives it is refused, and says whom it met."""
        if self.drivers[-1].poll() is not None or self.thaws:
            return False
        command = [sys.executable, __file__, "drive", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0 and self.drivers[-1].poll() == 0:
            return False  # it came too late to meet anybody
        assert done.returncode == 2, done
        assert f"process {self.drivers[-1].pid} on " in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        self.refused += 1
        return True

    def _restart_database(self) -> None:
        assert self.database is not None
        self.database.stop()
        time.sleep(self.chance.uniform(0.1, 1.5))
        self.database.start()

    def _freeze_database(self) -> None:
        assert self.database is not None
        self.database.freeze()
        time.sleep(self.chance.uniform(0.5, 1.5) * LEASE)
        self.database.thaw()

    def _thaw(self, now: float) -> None:
        for due, group in list(self.thaws):
            if due <= now:
                self.thaws.remove((due, group))
                for process in group:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGCONT)


FOREVER = float("inf")


# The account.


@dataclass(frozen=True)
class Account:
    """What became of a search."""

    trials: int
    states: dict[str, int]
    faults: dict[str, int]
    given_out_again: int
    refused_outcomes: int
    refused_drivers: int
    seconds: float


def account(folder: Path, chaos: Chaos, expected: Sequence[Record], seconds: float) -> Account:
    """Hold a search against one without faults; AssertionError names what is wrong."""
    from nas.runs.run import open_run
    from nas.strategy.storage.store import Store

    run = open_run(folder)
    records = Store(run.study, writable=False).records()
    assert [record.trial for record in records] == list(range(len(expected)))
    for record, wanted in zip(records, expected, strict=True):
        assert record.state in ENDED, record
        assert record.digest == wanted.digest, (record, wanted)
        for name in ("state", "loss", "latency_ms", "failure"):
            assert getattr(record, name) == getattr(wanted, name), (name, record, wanted)
    assert front(run, records) == front(run, expected)
    events = (folder / "events.log").read_text()
    ends = Counter(_ENDS.findall(events))
    assert max(ends.values()) == 1, ends.most_common(3)
    accepted: Counter[str] = Counter()
    said = ""
    if not chaos.kind.own_workers:
        said = (folder / "workers.log").read_text()
        accepted = Counter(re.findall(r"^trial (\d+): (?:done|the stand-in)", said, re.MULTILINE))
        assert max(accepted.values()) == 1, accepted.most_common(3)
    return Account(
        trials=len(records),
        states=dict(Counter(record.state for record in records)),
        faults=dict(chaos.happened),
        given_out_again=events.count("given out again"),
        refused_outcomes=said.count("refused"),
        refused_drivers=chaos.refused,
        seconds=seconds,
    )


def front(run: Run, records: Sequence[Record]) -> list[str]:
    """Digests of the networks on the front."""
    from nas.study.trials import Trials

    members = run.read(Trials.of(list(records))).front().members
    return sorted(point.architecture.digest for point in members)


def without_faults(search: Search) -> tuple[Record, ...]:
    from nas.execution.simulated import SimulatedExecutor

    SimulatedExecutor(outcome_of, workers=1).run(search)
    return search.records


def make(folder: Path, executor: str, address: str | None, *, trials: int, workers: int) -> Run:
    """A run folder as `nas search` makes one, but for the images."""
    from nas.base.files import dump_yaml, parse, read_yaml
    from nas.runs.open_study import make_study
    from nas.runs.run import RunFile, open_run
    from nas.spec.space import SearchSpace

    folder.mkdir(parents=True)
    space = parse(SearchSpace, read_yaml(SPACE, "space"), "space")
    plan = {
        "sampler": "random",
        "trials": trials,
        "confirm_seeds": 1,
        "reduction": None,
        "attempts": 20,
    }
    data = {
        "executor": executor,
        "workers": workers,
        "storage": address or "journal",
        "lease": LEASE,
        "search": plan,
        "data": "none",
        "study": folder.name if address else "search",
        "ray": {"send_code": False},
    }
    file = parse(RunFile, data, "runner")
    (folder / "space.yaml").write_text(dump_yaml(space))
    (folder / "run.yaml").write_text(dump_yaml(file))
    (folder / "events.log").touch()
    (folder / "chaos.json").write_text(
        json.dumps({"address": str(file.address) if file.address else None})
    )
    make_study(folder, folder, space, file, None)
    return open_run(folder)


def expected_records(run: Run, folder: Path, candidates: Candidates) -> tuple[Record, ...]:
    """The same search without faults, in this process."""
    from nas.spec.objective import objectives_named
    from nas.strategy.search import Search
    from nas.strategy.storage.store import Store

    folder.mkdir()
    plan = run.file.search
    store = Store.create(folder / "study.journal", objectives_named(plan.objectives))
    return without_faults(Search(candidates, plan, store))


def carry_out(
    folder: Path,
    executor: str,
    storage: str,
    *,
    trials: int,
    faults: int,
    seed: int,
    workers: int = 3,
    limit: float = 1800.0,
) -> Account:
    """One search under faults. Raises AssertionError when anything is not as it should be."""
    from database_servers import SERVERS

    from nas.models.candidates import Candidates

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(SERVERS[storage]()) if storage in SERVERS else None
        address = database.url if database else None
        if storage == "sqlite":
            address = f"sqlite:///{folder.parent.resolve()}/studies.db"
        run = make(folder, executor, address, trials=trials, workers=workers)
        expected = expected_records(
            run, folder.with_name(f"{folder.name}-calm"), Candidates(run.space)
        )
        nodes = None
        if EXECUTORS[executor].cluster:
            from ray_nodes import Nodes

            nodes = stack.enter_context(Nodes(workers))
        chaos = Chaos(run, executor, workers=workers, seed=seed, database=database, nodes=nodes)
        began = time.monotonic()
        try:
            chaos.run(faults, trials, limit=limit)
        finally:
            chaos.stop()
        return account(folder, chaos, expected, time.monotonic() - began)


def main() -> None:
    roles: dict[str, Callable[[], None]] = {
        "drive": lambda: drive(Path(sys.argv[2])),
        "work": lambda: work(Path(sys.argv[2])),
        "stand-in": stand_in,
    }
    if len(sys.argv) > 1 and sys.argv[1] in roles:
        return roles[sys.argv[1]]()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executor", choices=EXECUTORS, default="worker")
    parser.add_argument("--storage", choices=STORAGES, default="journal")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that does not exist, to look at later")
    given = parser.parse_args()
    from report import print_machine

    print_machine("optuna", "sqlalchemy", "psycopg")
    folder = given.keep or Path(tempfile.mkdtemp(prefix="nas-chaos-"))
    found = carry_out(
        folder / "run",
        given.executor,
        given.storage,
        trials=given.trials,
        faults=given.faults,
        seed=given.seed,
    )
    print(f"{given.executor} on {given.storage}, seed {given.seed}: nothing lost, nothing doubled")
    for name, value in asdict(found).items():
        print(f"  {name}: {value}")


if __name__ == "__main__":
    main()
