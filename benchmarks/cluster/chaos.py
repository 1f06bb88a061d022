"""Nothing lost, whatever dies: a search whose processes, nodes and database are killed and frozen.

A stand-in evaluation takes a fraction of a second and depends on the network alone, so that the
search can be held against one that nothing happened to. Faults come at random moments, seeded.
In the end every trial is accounted for: each ended once, with the outcome that its network has;
no outcome was accepted twice; nothing runs; and the front is that of the run without faults.

Run: python -m benchmarks.cluster.chaos --executor worker --storage postgresql
     python -m benchmarks.cluster.chaos --executor ray
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cluster.chaos_processes import (
    ENDED,
    EXECUTORS,
    LEASE,
    STORAGES,
    TRIAL_END,
    outcome_of,
)
from benchmarks.cluster.faults import Chaos
from nas.study.record import Record

if TYPE_CHECKING:
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
    ends = Counter(TRIAL_END.findall(events))
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
    from nas.runs.run import open_run
    from nas.runs.run_file import RunFile
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
    from benchmarks.shared.database_servers import SERVERS
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
            from benchmarks.shared.ray_nodes import Nodes

            nodes = stack.enter_context(Nodes(workers))
        chaos = Chaos(run, executor, workers=workers, seed=seed, database=database, nodes=nodes)
        began = time.monotonic()
        try:
            chaos.run(faults, trials, limit=limit)
        finally:
            chaos.stop()
        return account(folder, chaos, expected, time.monotonic() - began)


def main() -> None:
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
    from benchmarks.shared.report import print_machine

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
