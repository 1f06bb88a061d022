"""Real runs: real digits, real trainings, real worker processes; only very short."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
from support.latency_profiles import example_profile
from support.samples import QUICK, SMALL_SPACE

import nas
from nas.base.errors import SpecError, StorageError
from nas.execution.executor import SilentObserver
from nas.latency.device import Device
from nas.latency.survey import measure_profile
from nas.models.candidates import Candidates, load_space
from nas.runs.run import open_run, run_lock
from nas.runs.start import resume, search
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.prior import KnownEffect, KnownSite, Rules, load_rules
from nas.spec.runner import load_runner
from nas.study.record import COMPLETE, FAILED, Job, Record
from nas.training.loop import evaluate
from nas.training.proxies import PROXIES
from nas.training.task import Classification

pytestmark = pytest.mark.xdist_group("run")


def test_looking_at_a_run_leaves_no_trace_and_stops_no_driver(
    finished_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    run, before = open_run(path), (path / ".lock").read_bytes()
    assert not run.running
    assert (path / ".lock").read_bytes() == before
    with run_lock(path):
        assert run.running
    looking = threading.Event()

    def look() -> None:
        while not looking.is_set():
            assert run.running in (True, False)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with run_lock(path):
                pass
    finally:
        looking.set()
        thread.join()
    (path / ".lock").unlink()
    assert not run.running and not (path / ".lock").exists()


def test_a_run_leaves_what_it_promises(finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    assert names >= {
        "space.yaml",
        "run.yaml",
        "environment.json",
        "study.journal",
        "device.json",
        "trials.parquet",
        "front.csv",
        "front.png",
        "checkpoints",
        "events.log",
    }
    assert not [name for name in names if name.startswith(".") and name != ".lock"]
    assert (finished_run / "front.png").read_bytes()[:4] == b"\x89PNG"
    rows = parquet.read_table(finished_run / "trials.parquet").to_pylist()
    assert sum(row["repeat"] == 0 for row in rows) == 5
    assert {row["state"] for row in rows} == {COMPLETE}
    environment = json.loads((finished_run / "environment.json").read_text())
    assert torch.__version__.startswith(environment["versions"]["torch"])
    assert environment["data"]["classes"] == list("0123456789")


def test_front_holds_references_and_measured_latencies(finished_run: Path) -> None:
    front = open_run(finished_run).front()
    assert {point.reference for point in front.references} == {PLAIN, "se/r24", "eca"}
    assert all(point.seeds == 2 for point in front)
    assert all(point.latency_final and point.latency_ms > 0 for point in front)
    plain = next(point for point in front if point.reference == PLAIN)
    assert (plain.loss_saved, plain.loss_noise) == (0.0, 0.0)
    # Nothing but attention was added, and attention takes time.
    assert plain.latency_ms == min(point.latency_ms for point in front)


def test_a_front_of_short_probes_says_so(finished_run: Path) -> None:
    run = open_run(finished_run)
    assert run.train_images == len(run.dataset().train)
    assert any("Probes of 4 steps are short" in line for line in run.front().trust)


def test_the_front_from_the_study_equals_the_one_from_parquet(
    finished_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    (copy / "trials.parquet").unlink()
    assert open_run(copy).front().to_json() == open_run(finished_run).front().to_json()
    (copy / "trials.parquet").write_bytes(b"broken")
    assert open_run(copy).front().to_json() == open_run(finished_run).front().to_json()


def test_a_study_that_was_cut_short_is_not_taken_for_an_empty_one(
    finished_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    with (copy / "study.journal").open("rb+") as file:
        file.truncate(3000)
    with pytest.raises(StorageError, match=r"study.journal holds \d trials, where .* it was cut"):
        open_run(copy).front()
    (copy / "trials.parquet").unlink()
    assert len(open_run(copy).trials()) < len(open_run(finished_run).trials())


def test_a_refused_resume_changes_nothing(finished_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    plan = (copy / "run.yaml").read_text().replace("data: digits", "data: folder:/nowhere")
    (copy / "run.yaml").write_text(plan)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(SpecError, match="nowhere"):
        resume(copy, trials=9)
    assert (copy / "run.yaml").read_text() == plan


def test_a_trained_network_gives_its_recorded_loss(finished_run: Path) -> None:
    run = open_run(finished_run)
    for trial in (0, 1, 4):
        network = run.network(trial)
        score = evaluate(network, run.dataset(), Classification(10), device=torch.device("cpu"))
        assert score.loss == pytest.approx(run.row(trial)["loss"], abs=1e-4)
        assert score.accuracy == run.row(trial)["accuracy"]


def test_the_python_interface_of_the_readme(finished_run: Path) -> None:
    run = nas.open_run(finished_run)
    for point in run.front().where(latency_ms=("<", 1000)):
        network = nas.build(point.architecture)
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert not list(run.front().where(latency_ms=("<", 0)))


class Killer(SilentObserver):
    """Kills the first worker that takes a job, with the signal that nobody can catch."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.reasons: list[str] = []
        self.records: list[Record] = []

    def started(self, job: Job) -> None:
        if not self.killed:
            self.killed.append(job.trial)
            worker = next(iter(_pids()))
            os.kill(worker, signal.SIGKILL)

    def lost(self, job: Job, reason: str) -> None:
        self.reasons.append(reason)

    def finished(self, record: Record) -> None:
        self.records.append(record)


def _pids() -> list[int]:
    """Worker processes of this process, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == os.getpid() and b"local_worker" in command:
            found.append(int(entry.name))
    return sorted(found)


def test_a_killed_worker_costs_no_trial_and_a_run_can_be_made_longer(
    finished_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    before = open_run(copy).trials()
    killer = Killer()
    run = resume(copy, trials=7, workers=1, observer=killer)
    after = run.trials()
    assert killer.reasons == ["killed by SIGKILL; the system may have run out of memory"]
    assert (after["state"] == COMPLETE).all()
    assert int((after["repeat"] == 0).sum()) == 7
    assert (after["digest"][: len(before)] == before["digest"]).all()
    assert (after["loss"][: len(before)] == before["loss"]).all()
    assert not _pids()


def test_a_broken_checkpoint_stops_with_one_line(finished_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    backbone = next(copy.glob("checkpoints/*/backbone.safetensors"))
    backbone.write_bytes(b"cut short")
    with pytest.raises(nas.NasError, match="cannot go on.*cannot be read"):
        resume(copy, trials=6, workers=1)


def test_two_drivers_do_not_work_on_one_run(finished_run: Path) -> None:
    with run_lock(finished_run), pytest.raises(SpecError, match=f"process {os.getpid()}"):
        resume(finished_run, trials=9)
    assert not open_run(finished_run).running


def test_limits_that_no_network_keeps_start_no_run(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"{SMALL_SPACE}\nconstraints: {{params: 1000}}\n")
    with pytest.raises(SpecError, match="keeps its limit of 1,000 params: the smallest has"):
        search(space, load_runner(None, QUICK), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_search_by_a_profile_predicts_and_measures_its_front(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"{SMALL_SPACE}\nconstraints: {{latency_ms: 100}}\n")
    profile = tmp_path / "here.json"
    found = measure_profile(
        Candidates(load_space(space)), Device("onnxruntime"), profile, networks=2, held_out=0
    )
    quick = (*QUICK, "search.trials=4", "search.confirm_seeds=1", "workers=1")
    run = search(space, load_runner(None, (*quick, f"device={profile}")), "digits", tmp_path / "a")
    trials = run.trials()
    assert trials["latency_predicted"].all()
    for row in range(len(trials)):
        architecture = Architecture.from_json(trials["architecture"][row])
        expected = found.predict(architecture).latency_ms
        assert trials["latency_ms"][row] == pytest.approx(expected)
    assert not any(point.latency_predicted for point in run.front().points)

    elsewhere = found.model_copy(update={"processor": "a phone"})
    elsewhere.write(profile)
    run = search(space, load_runner(None, (*quick, f"device={profile}")), "digits", tmp_path / "b")
    assert all(point.latency_predicted for point in run.front().points)
    assert "stay predictions" in (tmp_path / "b" / "events.log").read_text()

    # The same run on a device that is twice as slow: nothing is trained again.
    slower = found.model_copy(
        update={
            "branches": [
                branch.model_copy(update={"plain_ms": 2 * branch.plain_ms})
                for branch in found.branches
            ]
        }
    )
    slower.write(tmp_path / "slower.json")
    plain = next(point for point in run.front() if point.reference == PLAIN)
    (projected,) = [
        point for point in run.front(device=tmp_path / "slower.json") if point.reference == PLAIN
    ]
    assert projected.latency_ms == pytest.approx(2 * plain.latency_ms)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("nowhere.json", "cannot read the device profile nowhere.json: No such file"),
        ("phone", "unknown runtime 'phone'"),
        ("onnxruntime-fp8", "has no 'fp8'; allowed: fp32, int8"),
    ],
)
def test_wrong_devices_start_no_run(tmp_path: Path, device: str, said: str) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    with pytest.raises(SpecError, match=said):
        search(space, load_runner(None, (*QUICK, f"device={device}")), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_profile_of_another_space_starts_no_run(tmp_path: Path) -> None:
    space, profile = tmp_path / "space.yaml", tmp_path / "device.json"
    space.write_text(SMALL_SPACE)
    example_profile().write(profile)
    with pytest.raises(SpecError, match="holds no mobilenetv2_035 at 32x32, total stride 16"):
        search(space, load_runner(None, (f"device={profile}",)), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_changed_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    for level, name in enumerate("ab"):
        folder = tmp_path / "images" / "train" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = np.full((32, 32, 3), 30 + 150 * level + number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    with monkeypatch.context() as untrained:
        untrained.setattr("nas.runs.start._carry_out", lambda *_: None)
        search(space, load_runner(None), f"folder:{tmp_path / 'images'}", tmp_path / "run")
    (tmp_path / "images" / "train" / "a" / "0.png").unlink()
    with pytest.raises(SpecError, match="have changed since"):
        resume(tmp_path / "run", trials=4)


@pytest.mark.slow
def test_trials_that_fail_are_told_and_make_no_front(tmp_path: Path) -> None:
    """A learning rate that no training survives."""
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    overrides = ("proxy.kind=scratch", "proxy.learning_rate=1.0e+12", "search.confirm_seeds=1")
    runner = load_runner(None, (*QUICK, *overrides))
    run = search(space, runner, "digits", tmp_path / "run")
    trials = run.trials()
    assert (trials["state"] == FAILED).all()
    assert all("diverged" in reason for reason in trials["failure"])
    assert list(run.front()) == []
    assert (run.path / "front.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["finetune", "scratch", "supernet", "supernet-whole"])
def test_other_proxies_run(tmp_path: Path, kind: str) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    overrides = (f"proxy.kind={kind}", "search.trials=4", "search.confirm_seeds=2", "workers=1")
    run = search(space, load_runner(None, (*QUICK, *overrides)), "digits", tmp_path / "run")
    assert run.front().members
    again = any(row["repeat"] for row in map(run.row, range(len(run.trials()))))
    assert again is (not PROXIES[kind].shared)  # where all inherit, a seed changes nothing
    for trial in (0, 1):  # the plain one, which inherits under supernet-whole, and SE
        network = run.network(trial)
        score = evaluate(network, run.dataset(), Classification(10), device=torch.device("cpu"))
        assert score.loss == pytest.approx(run.row(trial)["loss"], rel=1e-3)


@pytest.mark.slow
def test_a_latency_limit_prunes_before_training(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE + "constraints: {latency_ms: 0.000001}\n")
    runner = load_runner(None, (*QUICK, "search.confirm_seeds=1", "workers=1"))
    run = search(space, runner, "digits", tmp_path / "run")
    pruned = [run.row(trial) for trial in range(3, 5)]
    assert all(row["state"] == "PRUNED" and "limit" in row["failure"] for row in pruned)
    assert not run.front().members
    assert {point.reference for point in run.front()} == {PLAIN, "se/r24", "eca"}


def test_worker_count_follows_cores_and_threads() -> None:
    from nas.runs.prepare import worker_count

    cores = len(os.sched_getaffinity(0))
    assert worker_count(load_runner(None)) == cores
    assert worker_count(load_runner(None, ("proxy.threads=1000",))) == 1
    assert worker_count(load_runner(None, ("workers=3",))) == 3


def rules_of_another_search() -> Rules:
    effects = [KnownEffect(label="se/r8", saved=1.0, deviation=0.1)]
    sites = [KnownSite(name="a", depth=0.5, channels=64, stride=8.0, effects=effects)]
    return Rules(space="s", data="digits", backbones=["net"], networks=9, spread=0.1, sites=sites)


@pytest.mark.parametrize(
    ("sampler", "name", "said"),
    [
        ("random", "rules.json", "sampler 'random' cannot use it; use pareto"),
        ("pareto", "none.json", "cannot read the rules"),
    ],
)
def test_a_prior_that_cannot_be_used_starts_no_run(
    tmp_path: Path, small_space: Path, sampler: str, name: str, said: str
) -> None:
    rules_of_another_search().write(tmp_path / "rules.json")
    runner = load_runner(None, (*QUICK, f"search.sampler={sampler}"))
    with pytest.raises(SpecError, match=said):
        search(small_space, runner, "digits", tmp_path / "run", prior=tmp_path / name)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_keeps_the_rules_that_it_started_from(tmp_path: Path, small_space: Path) -> None:
    rules_of_another_search().write(tmp_path / "rules.json")
    runner = load_runner(None, QUICK)
    run = search(small_space, runner, "digits", tmp_path / "run", prior=tmp_path / "rules.json")
    assert load_rules(run.path / "prior.json") == rules_of_another_search()
    assert resume(run.path, trials=6).front().members
