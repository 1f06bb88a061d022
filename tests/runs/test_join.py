"""`nas worker` at the door: what it refuses, and a whole search with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.run_processes import alive, check_finished, happened, nas, wait_until, workers_of
from support.samples import QUICK, SMALL_SPACE

from benchmarks.shared.database_servers import Server
from nas.base.errors import SpecError
from nas.base.files import dump_yaml, parse, read_yaml
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.workers.worker_executor import WorkerExecutor
from nas.runs.images import decode_images
from nas.runs.join import join_run, work
from nas.runs.open_study import exchange_of, make_study, worker_terms
from nas.runs.run import Run, open_run
from nas.runs.run_file import RunFile
from nas.spec.architecture import Architecture
from nas.spec.runner import Proxy
from nas.spec.space import Constraints, SearchSpace
from nas.spec.storage_url import StorageUrl
from nas.spec.task import Task

PLAIN = Architecture("mobilenetv2_035", 32, ()).to_json()


def made_run(folder: Path, executor: str) -> Run:
    """A run folder as a search makes it, that has not begun."""
    space = parse(SearchSpace, read_yaml(SMALL_SPACE, "small"), "small")
    file = RunFile(executor=executor, data="digits")  # type: ignore[arg-type]
    folder.mkdir()
    (folder / "space.yaml").write_text(dump_yaml(space))
    (folder / "run.yaml").write_text(dump_yaml(file))
    run = open_run(folder)
    data = {"key": decode_images(run.space, run.file).name, "classes": list("0123456789")}
    (folder / "environment.json").write_text(json.dumps({"data": data}))
    make_study(folder, folder, space, file, None)
    return run


@pytest.fixture
def shared(tmp_path: Path) -> Run:
    return made_run(tmp_path / "run", "worker")


def terms(run: Run):  # type: ignore[no-untyped-def]
    spec = EvaluatorSpec(
        data=Path("elsewhere"),
        checkpoints=Path("elsewhere"),
        proxy=Proxy(),
        constraints=Constraints(),
        plains=(),
        anchor=PLAIN,
        anchor_ms=1.0,
        task=Task(outputs=10),
    )
    return worker_terms(run, spec, data_key=run.environment()["data"]["key"])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"versions": {"attention-nas": "9.9"}}, "runs with attention-nas 9.9, here is "),
        ({"versions": {"attention-nas": "0.1.0 (0000abcd)"}}, "(0000abcd), here is "),
        ({"versions": {"torch": None}}, "runs with torch None, here is "),
        ({"processor": "a phone"}, "measures latencies on a phone, this is "),
        ({"runtime": "onnxruntime 0.1"}, "measures with onnxruntime 0.1, here is "),
        ({"data": "other"}, "the images of digits are not those that "),
    ],
)
def test_a_worker_that_does_not_fit_refuses(
    shared: Run, changed: dict[str, object], told: str
) -> None:
    exchange_of(shared).publish(replace(terms(shared), **changed))  # type: ignore[arg-type]
    with pytest.raises(SpecError) as caught:
        work(str(shared.path))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_worker_builds_nothing_that_the_space_does_not_name(shared: Run) -> None:
    foreign = Architecture("os:getcwd", 32, ()).to_json()
    spec = dict(terms(shared).spec) | {"plains": [foreign]}
    exchange_of(shared).publish(replace(terms(shared), spec=spec))
    with pytest.raises(SpecError, match="is of 'os:getcwd', which its space does not hold"):
        work(str(shared.path))


def test_a_driver_of_another_version_is_one_line(shared: Run) -> None:
    exchange_of(shared).publish(replace(terms(shared), spec={"data": "elsewhere"}))
    with pytest.raises(SpecError, match="is driven by another version of this program"):
        work(str(shared.path))


def test_a_worker_waits_for_its_driver_and_ends_with_the_search(shared: Run) -> None:
    said: list[str] = []
    assert work(str(shared.path), idle=0.0, say=said.append) == "idle"
    exchange_of(shared).publish(replace(terms(shared), closed=True))
    assert work(str(shared.path)) == "finished"


def test_a_worker_before_its_run_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no run yet; .* --set executor=worker --out"):
        join_run(str(tmp_path / "run"))


def test_a_run_that_starts_its_own_workers_takes_no_others(tmp_path: Path) -> None:
    made_run(tmp_path / "run", "local")
    with pytest.raises(SpecError, match="executor 'local', which starts its own workers"):
        join_run(str(tmp_path / "run"))


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        nas(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def shared_search(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    (folder / "small.yaml").write_text(SMALL_SPACE)
    sets = [
        item
        for override in (*QUICK, "executor=worker", "lease=4s", *overrides)
        for item in ("--set", override)
    ]
    return start("search", folder / "small.yaml", "--out", folder / "run", *sets, "--trials", 12)


@pytest.mark.slow
def test_workers_come_late_die_and_are_pre_empted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    driver = shared_search(tmp_path, "proxy.rungs=[2,4]")
    wait_until(lambda: happened(run, "waiting for workers"))
    first, second = (start("worker", run, "--grace", "0s") for _ in range(2))
    wait_until(lambda: happened(run, "trial 3 "))
    first.kill()
    wait_until(lambda: happened(run, "given out again"))
    second.send_signal(signal.SIGTERM)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0 and out.splitlines()[-1].endswith(" stopped"), err
    third = start("worker", run)
    status = json.loads(
        subprocess.run(nas("status", run, "--json"), capture_output=True, text=True).stdout
    )
    assert status["driver"] == "running"
    driver.communicate(timeout=600)
    third.communicate(timeout=120)
    assert driver.returncode == third.returncode == 0
    first.communicate()
    records = [open_run(run).row(trial) for trial in range(len(open_run(run).trials()))]
    assert {record["state"] for record in records} <= {"COMPLETE", "PRUNED"}
    assert not list((run / "jobs" / "workers").iterdir())


@pytest.mark.slow
def test_a_search_in_a_database_whose_driver_is_killed(tmp_path: Path, server: Server) -> None:
    run = tmp_path / "run"
    driver = shared_search(tmp_path, f"storage={server.url}")
    wait_until(lambda: (run / "run.yaml").exists())
    address = open_run(run).file.address
    assert isinstance(address, StorageUrl)
    worker = start("worker", address)
    wait_until(lambda: happened(run, "trial 2 COMPLETE"))
    refused = subprocess.run(nas("resume", run), capture_output=True, text=True)
    assert refused.returncode == 2 and f"process {driver.pid} on " in refused.stderr
    driver.kill()
    driver.communicate()
    moved = tmp_path / "moved"
    run.rename(moved)
    run.symlink_to(moved)
    afar = subprocess.run(
        nas("status", address, "--json"), capture_output=True, text=True, check=True, cwd="/"
    )
    report = json.loads(afar.stdout)
    assert report["trials"]["COMPLETE"] >= 3 and report["workers"]
    subprocess.run(nas("resume", run), capture_output=True, check=True)
    out, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0 and "the search is finished" in out
    check_finished(run)
    assert not [process for process in workers_of(os.getpid()) if not alive(process)]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not Path("/bin/mount").exists(), reason="needs to mount")
def test_a_full_disk_stops_a_worker_with_one_line_and_loses_no_job(
    shared: Run, tmp_path: Path
) -> None:
    """The driver's word arrives; the outcome does not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)])
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        from nas.execution.exchange.folder import FolderExchange
        from nas.study.record import Job

        exchange = FolderExchange(disk / "jobs")
        exchange.publish(terms(shared))
        ticket = exchange.offer(Job(0, PLAIN, "digest", 0))
        code = (
            "import sys\n"
            "from pathlib import Path\n"
            "from nas.base.errors import NasError\n"
            "from nas.execution.exchange.folder import FolderExchange\n"
            "from nas.execution.workers.worker_process import WorkerProcess\n"
            "from nas.study.record import Outcome\n"
            "disk = Path(sys.argv[1])\n"
            "def fill(job):\n"
            "    try:\n"
            "        with (disk / 'filler').open('wb', buffering=0) as file:\n"
            "            while True:\n"
            "                file.write(bytes(4096))\n"
            "    except OSError:\n"
            "        return Outcome(failure='x' * 5000)\n"
            "try:\n"
            "    WorkerProcess(FolderExchange(disk / 'jobs'), fill, lease=60).run()\n"
            "except NasError as error:\n"
            "    print(error)\n"
            "    sys.exit(error.exit_code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(disk)], capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert "no space left" in done.stdout and done.stdout.count("\n") == 1
        assert exchange.states() == {ticket: "waiting"}
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_table_of_executors_makes_them(shared: Run) -> None:
    from nas.runs.choose_executor import EXECUTORS
    from nas.runs.prepare import SearchInputs
    from nas.strategy.storage.store import Store

    store = Store(shared.study, writable=False)
    assert set(EXECUTORS) == {"local", "worker", "ray", "tune"}
    made = EXECUTORS["worker"](
        SearchInputs.read(shared), store, EvaluatorSpec.from_dict(dict(terms(shared).spec))
    )
    assert isinstance(made, WorkerExecutor)
