"""A real Ray cluster of several nodes on this machine: they join late, leave, and are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from support import ray_stand_in as stand_in
from support.ray_searches import Watch, all_accounted_for, made
from support.ray_stand_in import ALONE, GAUGED, lines
from support.samples import ROOT
from support.searches import small_candidates

from benchmarks.shared.ray_nodes import HEALTH, NODE
from nas.base.errors import MeasurementError, SpecError, StorageError, TrainingError
from nas.execution.observer import SilentObserver
from nas.execution.ray.cluster import _check, capacity, connect
from nas.execution.ray.pool import RayExecutor
from nas.execution.simulated import SimulatedExecutor
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.runner import Ray
from nas.study.record import COMPLETE, FAILED, Job, Record

pytestmark = [
    pytest.mark.slow,
    # Ray's own, of sockets and files that it leaves to be closed.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that evaluates nothing; tests add the nodes that do."""
    head = NODE | {"num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
        environment.setenv("RAY_worker_niceness", "0")  # Ray would let all else go first
        made = Cluster(initialize_head=True, head_node_args=head)
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def add_node(cluster: Cluster) -> Iterator[Callable[..., Any]]:
    added: list[Any] = []

    def add(**options: Any) -> Any:
        node = cluster.add_node(**NODE | options)
        added.append(node)
        return node

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return small_candidates()


def test_one_worker_finds_what_a_simulated_one_finds(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node()
    found = made(tmp_path / "ray", candidates)
    RayExecutor({"log": str(tmp_path / "log")}, Ray(), workers=1, makers=ALONE).run(
        found, SilentObserver()
    )
    expected = made(tmp_path / "simulated", candidates)
    SimulatedExecutor(stand_in.truth).run(expected)
    assert [(record.digest, record.loss) for record in found.records] == [
        (record.digest, record.loss) for record in expected.records
    ]


def test_nodes_join_late_and_are_killed_in_the_middle(
    tmp_path: Path, candidates: Candidates, cluster: Cluster, add_node: Callable[..., Any]
) -> None:
    log = tmp_path / "log"
    first = add_node()

    def join() -> None:
        add_node()
        add_node()

    def kill() -> None:
        cluster.remove_node(first, allow_graceful=False)

    class Script(Watch):
        def started(self, job: Job) -> None:
            super().started(job)
            if self.begun == 5:
                join()
            if self.begun == 30:
                kill()

    search, watch = made(tmp_path, candidates, trials=60), Script()
    spec = {"log": str(log), "seconds": 0.4}
    RayExecutor(spec, Ray(placement="spread"), makers=ALONE).run(search, watch)
    all_accounted_for(search, watch)
    assert {record.state for record in search.records} == {COMPLETE}
    where = [node for _, node in lines(log, "end")]
    assert set(where[:3]) == {first.node_id} and len(set(where)) == 3
    assert first.node_id not in where[-10:]
    assert len(watch.lost_jobs) <= 1, "a node of one worker has one job"
    # What was killed began twice; what had ended was never evaluated again.
    assert len(where) == 60


def test_a_worker_that_is_killed_costs_one_attempt(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node(num_cpus=2)
    search, watch = made(tmp_path, candidates), Watch()
    spec = {"log": str(tmp_path / "log"), "dies": [2, 9], "always": [5]}
    RayExecutor(spec, Ray(), makers=ALONE).run(search, watch)
    all_accounted_for(search, watch)
    assert sorted(trial for trial, _ in watch.lost_jobs) == [2, 5, 9]
    assert all(reason.startswith("lost (") for _, reason in watch.lost_jobs)
    states = Counter(record.state for record in search.records)
    assert states == {COMPLETE: len(search.records) - 1, FAILED: 1}
    assert (search.records[5].failure or "").startswith("its worker died twice")


def test_a_frozen_node_is_given_up_and_a_short_silence_is_not(
    tmp_path: Path, candidates: Candidates, cluster: Cluster, add_node: Callable[..., Any]
) -> None:
    """As when the network is cut: the node lives on, but nothing is heard of it."""
    healthy, frozen = add_node(), add_node()
    log = tmp_path / "log"

    def pids(node: Any) -> list[int]:
        raylet = node.all_processes["raylet"][0].process.pid
        return [raylet, *_children(raylet)]

    def silence() -> None:
        for pid in pids(frozen):
            os.kill(pid, signal.SIGSTOP)

    def back() -> None:
        for pid in pids(frozen):
            os.kill(pid, signal.SIGCONT)

    class Script(Watch):
        def started(self, job: Job) -> None:
            super().started(job)
            if self.begun == 6:
                silence()
            if self.begun == 8:  # a second later: shorter than Ray's patience
                back()
            if self.begun == 14:
                silence()

    search, watch = made(tmp_path, candidates, trials=30), Script()
    spec = {"log": str(log), "seconds": 0.5}
    try:
        RayExecutor(spec, Ray(), makers=ALONE).run(search, watch)
    finally:
        back()
    all_accounted_for(search, watch)
    assert {record.state for record in search.records} == {COMPLETE}
    assert len(watch.lost_jobs) == 1
    ended = dict(lines(log, "end")[:30])  # what the frozen one still ends, nobody hears of
    assert ended[str(watch.lost_jobs[0][0])] == healthy.node_id
    assert set(ended.values()) == {healthy.node_id, frozen.node_id}


def _children(pid: int) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _parent(entry) == pid
    ]


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def test_latency_is_measured_on_the_node_that_was_named(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node(num_cpus=2)
    bench = add_node(num_cpus=0, resources={"bench": 1})
    log = tmp_path / "log"
    search, watch = made(tmp_path, candidates), Watch()
    plan = Ray(latency="bench")
    spec = {"log": str(log), "unknown": [3]}
    RayExecutor(spec, plan, makers=GAUGED).run(search, watch)
    assert {node for _, node in lines(log, "measure")} == {bench.node_id}
    assert bench.node_id not in {node for _, node in lines(log, "end")}
    complete = [record for record in search.records if record.state == COMPLETE]
    assert complete and all(record.latency_wall_ms == 5 + 0.1 * n for record, n in _sized(complete))
    failures = {record.failure for record in search.records if record.state == FAILED}
    assert failures <= {"the runtime knows no such operator"}
    with connect(plan, cores=1, say=print) as place:
        assert place(stand_in.node) == bench.node_id
        with pytest.raises(MeasurementError, match="no such operator"):
            place(stand_in.raising)


def _sized(records: list[Record]) -> Iterator[tuple[Record, int]]:
    for record in records:
        yield record, len(Architecture.from_json(record.architecture).blocks)


def test_latency_is_measured_where_the_driver_is_unless_said_otherwise(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node(num_cpus=2)
    search = made(tmp_path, candidates, trials=6)
    RayExecutor({"log": str(tmp_path / "log")}, Ray(), makers=GAUGED).run(search, SilentObserver())
    driver = ray.get_runtime_context().get_node_id()
    assert {node for _, node in lines(tmp_path / "log", "measure")} == {driver}
    assert {record.state for record in search.records} == {COMPLETE}


def test_trainings_on_gpus_leave_measuring_to_a_driver_that_has_none(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node(num_cpus=1, num_gpus=1)
    plan, search = Ray(gpus=1), made(tmp_path, candidates, trials=4)
    RayExecutor({"log": str(tmp_path / "log")}, plan, makers=GAUGED).run(search, SilentObserver())
    assert {record.state for record in search.records} == {COMPLETE}
    with connect(plan, cores=1, say=print) as place:
        assert place(stand_in.node) == ray.get_runtime_context().get_node_id()
    with pytest.raises(SpecError, match="measured on a GPU, and the node for that has none of 1"):
        _check(plan, 1.0, fixed=False)


def test_what_measures_on_a_gpu_leaves_the_rest_to_trials(add_node: Callable[..., Any]) -> None:
    add_node(num_cpus=4, num_gpus=2, resources={"bench": 1})
    plan = Ray(gpus=0.5, latency="bench")
    assert capacity(plan) == 4
    assert capacity(plan, gauge_gpus=0.5) == 3
    assert capacity(Ray(gpus=2, latency="bench"), gauge_gpus=2) == 0
    with pytest.raises(SpecError, match="of which measuring latencies takes 2 GPU$"):
        _check(Ray(gpus=2, latency="bench"), 2.0, fixed=True)


def test_resources_say_how_many_trials_a_node_holds(add_node: Callable[..., Any]) -> None:
    add_node(num_cpus=3, num_gpus=1, resources={"big": 1})
    assert capacity(Ray()) == 3
    assert capacity(Ray(gpus=0.5)) == 2
    assert capacity(Ray(gpus=0.2)) == 3
    assert capacity(Ray(resources={"big": 0.3})) == 3
    assert capacity(Ray(resources={"big": 0.5}, cpus=0)) == 2
    assert capacity(Ray(resources={"small": 1})) == 0


def test_workers_that_cannot_start_end_the_search_in_one_line(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node()
    log = str(tmp_path / "log")
    for spec, error, said in (
        ({"log": log, "stillborn": True}, TrainingError, "workers die before they are ready"),
        ({"log": log, "nowhere": "/data"}, StorageError, "a worker cannot go on: /data is not"),
        ({"log": log, "broken": [2]}, StorageError, "a worker cannot go on: no space left"),
    ):
        with pytest.raises(error, match=said) as caught:
            RayExecutor(spec, Ray(), makers=ALONE).run(made(tmp_path, candidates), SilentObserver())
        assert "\n" not in str(caught.value)


def test_an_interrupted_search_leaves_no_actor_and_goes_on(
    tmp_path: Path, candidates: Candidates, add_node: Callable[..., Any]
) -> None:
    add_node()

    def interrupt() -> None:
        raise KeyboardInterrupt

    executor = RayExecutor({"log": str(tmp_path / "log")}, Ray(), makers=GAUGED)
    with pytest.raises(KeyboardInterrupt):
        executor.run(made(tmp_path, candidates), Watch(7, interrupt))
    search = made(tmp_path, candidates)
    executor.run(search, SilentObserver())
    assert {record.state for record in search.records} == {COMPLETE}
    ended = Counter(trial for trial, _ in lines(tmp_path / "log", "end"))
    assert len(ended) == len(search.records)


def test_an_unknown_node_for_latency_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="ray start --num-cpus=0 --resources"):
        _check(Ray(latency="phone"), 0.0, fixed=False)
    with pytest.raises(SpecError, match="a trial takes 1 CPU, 4 GPU .*; this machine has"):
        _check(Ray(gpus=4), 0.0, fixed=True)
