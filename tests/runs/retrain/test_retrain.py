"""Retraining what a real run has found: real digits, real processes; only very short."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.base.errors import SpecError, StorageError
from nas.export import export_pack
from nas.models.build import build
from nas.runs.lock import run_lock
from nas.runs.retrain.plan import plan_retraining
from nas.runs.retrain.pool import ProgressReport
from nas.runs.retrain.retrain import retrain
from nas.runs.run import open_run
from nas.spec.architecture import Architecture
from nas.spec.recipe import Retrain
from nas.strategy.storage.store import Store
from nas.study.full_training import FullTraining
from nas.training.checkpoint import load_weights
from nas.training.full import FullTrainingJob

pytestmark = pytest.mark.xdist_group("run")

TINY = Retrain(seeds=1, epochs=0.03, batch_size=32, threads=1)


class Heard:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.begun: list[FullTrainingJob] = []
        self.ends: list[FullTraining] = []
        self.losses: list[str] = []
        self.kill_first = False

    def stage(self, text: str) -> None:
        return None

    def step(self, done: int, total: int) -> None:
        return None

    def began(self, job: FullTrainingJob) -> None:
        self.begun.append(job)
        if self.kill_first and len(self.begun) == 1:
            os.kill(_children("retrain.worker")[0], signal.SIGKILL)

    def progressed(self, job: FullTrainingJob, report: ProgressReport) -> None:
        return None

    def ended(self, job: FullTrainingJob, found: FullTraining) -> None:
        self.ends.append(found)

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        self.losses.append(reason)


def _children(program: str, parent: int | None = None) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            mine = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_text()
        except (OSError, ValueError, IndexError):
            continue
        if mine == (parent or os.getpid()) and program in command:
            found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def retrained_run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks of a copy of the run, one of them placed by hand, with one seed."""
    path = tmp_path_factory.mktemp("retrained") / "run"
    shutil.copytree(finished_run, path)
    run = open_run(path)
    heard = Heard()
    heard.kill_first = True
    found = retrain(plan_retraining(run, [1, 4], section=TINY, workers=1), heard)
    assert [item.failure for item in found] == [None, None]
    assert len(heard.losses) == 1 and "SIGKILL" in heard.losses[0]
    assert {item.name for item in heard.ends} == {item.name for item in found}
    return path


def test_results_are_in_the_study_and_in_every_file(retrained_run: Path) -> None:
    run = open_run(retrained_run)
    records = Store(run.path / "study.journal", writable=False).records()
    digests = {run.row(trial)["digest"] for trial in (1, 4)}
    assert {record.digest for record in records if record.full_trainings} == digests
    assert {item.digest for item in run.retrained()} == digests
    assert all(item.test_images == 359 and item.finished for item in run.retrained())
    points = {point.trial: point for point in run.front()}
    assert points[1].retrained_seeds == 1 and points[1].retrained_test_accuracy >= 0
    assert "retrained_test_accuracy" in (run.path / "front.csv").read_text().splitlines()[0]
    assert not list((run.path / "retrained").glob("*.training.*"))
    assert run.is_finished(), "the events of the search are left alone"


def test_what_is_done_is_read_from_the_record(retrained_run: Path) -> None:
    run = open_run(retrained_run)
    again = plan_retraining(run, [1, 4], section=TINY)
    assert again.jobs == () and len(again.done) == 2
    before = (run.path / "study.journal").read_bytes()
    heard = Heard()
    assert sorted(item.name for item in retrain(again, heard)) == sorted(
        item.name for item in again.done
    )
    assert heard.begun == []
    assert (run.path / "study.journal").read_bytes() == before
    more = plan_retraining(run, [1], section=TINY.model_copy(update={"seeds": 3}))
    assert [job.about.seed for job in more.jobs] == [1, 2]
    other = plan_retraining(run, [1], section=TINY.model_copy(update={"epochs": 0.06}))
    assert len(other.jobs) == 1


def test_the_front_by_full_training(retrained_run: Path, finished_run: Path) -> None:
    front = open_run(retrained_run).front(["retrained_accuracy", "latency_ms"])
    assert {point.trial for point in front.members} <= {1, 4}
    with pytest.raises(SpecError, match="nothing of .* was trained fully yet; nas retrain"):
        open_run(finished_run).front(["retrained_accuracy", "latency_ms"])


def test_the_best_weights_are_chosen_by_validation(retrained_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(retrained_run, path)
    run = open_run(path)
    row = run.row(1)
    first = run.retrained_weights(1, "retrained")
    assert first is not None
    file, about = first
    network = build(Architecture.from_json(row["architecture"]), num_classes=10)
    network.load_state_dict(load_weights(file))
    assert about.accuracy is not None
    better = replace(
        about, seed=1, accuracy=about.accuracy + 0.1, test_accuracy=0.0, weights="better"
    )
    Store(path / "study.journal", writable=True).note_full_training(better)
    found = run.retrained_weights(1, "retrained")
    assert found is not None and found[1].seed == 0, "its file is not there"
    (path / "retrained" / "better").write_bytes(b"")
    found = run.retrained_weights(1, "retrained")
    assert found is not None and found[1].seed == 1
    assert run.retrained_weights(1, "search") is None
    with pytest.raises(SpecError, match="trial 2 has no fully trained weights; train them: nas re"):
        run.retrained_weights(2, "retrained")


@pytest.mark.parametrize(("above", "ships"), [(0.05, True), (-0.05, False)])
def test_a_full_training_that_is_worse_than_the_search_does_not_ship(
    retrained_run: Path, tmp_path: Path, above: float, ships: bool
) -> None:
    """Of a second recipe, which the front does not show, too."""
    path = tmp_path / "run"
    shutil.copytree(retrained_run, path)
    run = open_run(path)
    _, about = run.retrained_weights(1, "retrained") or pytest.fail("no weights")
    searched = run.row(1)["accuracy"]
    (path / "retrained" / "other").write_bytes(b"")
    other = replace(about, key="other", accuracy=searched + above, weights="other")
    Store(path / "study.journal", writable=True).note_full_training(other)
    found = run.retrained_weights(1)
    assert (found is not None and found[1].key == "other") is ships
    assert about.accuracy is not None and about.accuracy < searched, "or this tells nothing"


def test_fully_trained_weights_are_the_ones_that_ship(retrained_run: Path, tmp_path: Path) -> None:
    run = open_run(retrained_run)
    pack = export_pack(run, 1, "torchscript", tmp_path / "winner", weights="retrained")
    file, about = run.retrained_weights(1, "retrained") or pytest.fail("no weights")
    # A run of probes is of the regime finetune: blocks start as identities in full training too.
    assert about.recipe["weights"] == "backbone"
    architecture = Architecture.from_json(run.row(1)["architecture"])
    trained = build(architecture, num_classes=10, start="identity")
    trained.load_state_dict(load_weights(file))
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(run.network(1, "retrained")(images), trained(images), atol=1e-5)
    report = json.loads((pack.path / "report.json").read_text())
    assert report["origin"]["retrained"]["test_accuracy"] == about.test_accuracy
    assert "Weights: trained fully (0.03 epochs" in (pack.path / "README.md").read_text()


def test_a_pack_judges_and_normalises_as_the_full_training_saw_its_images(
    finished_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    run = open_run(path)
    section = TINY.model_copy(update={"resolution": 16})
    (about,) = retrain(plan_retraining(run, [1], section=section, workers=1), Heard())
    pack = export_pack(run, 1, "torchscript", tmp_path / "winner", weights="retrained")
    read = json.loads((pack.path / "preprocessing.json").read_text())
    trained_on = run.dataset(16)
    assert trained_on.validation.images.shape[1] == 16
    assert read["std"] == pytest.approx(list(trained_on.std))
    assert read["std"] != pytest.approx(list(run.dataset().std)), "or this tells nothing"
    report = json.loads((pack.path / "report.json").read_text())
    assert report["origin"]["retrained"]["resolution"] == about.resolution == 16
    assert "It was trained on images of 16 pixels." in (pack.path / "README.md").read_text()


def test_the_trained_backbone_is_the_runs_own(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    run = open_run(path)
    section = TINY.model_copy(update={"weights": "backbone"})
    planned = plan_retraining(run, [1], section=section, workers=1)
    (job,) = planned.jobs
    assert job.backbone is not None and job.backbone.is_relative_to(path.resolve())
    proxy = run.file.proxy
    longer = proxy.model_copy(
        update={"backbone": proxy.backbone.model_copy(update={"epochs": 99.0})}
    )
    other = replace(run, file=run.file.model_copy(update={"proxy": longer}))
    (another,) = plan_retraining(other, [1], section=section, workers=1).jobs
    assert another.about.key != job.about.key, "begun from another backbone is not equally trained"
    (about,) = retrain(planned, Heard())
    file = path / "retrained" / (about.weights or "")
    trained = build(
        Architecture.from_json(run.row(1)["architecture"]), num_classes=10, start="identity"
    )
    trained.load_state_dict(load_weights(file))
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(run.network(1, "retrained")(images), trained.eval()(images), atol=1e-5)
    job.backbone.unlink()
    with pytest.raises(
        SpecError, match=r"backbone: .* has no trained mobilenetv2_035 \(searched by"
    ):
        plan_retraining(run, [1], section=section.model_copy(update={"epochs": 0.07}))


def test_which_networks_are_meant(finished_run: Path, tmp_path: Path) -> None:
    run = open_run(finished_run)
    shown = run.front()
    everything = plan_retraining(run, front=True, section=TINY)
    assert {job.about.trial for job in everything.jobs} == {point.trial for point in shown}
    assert everything.test_images == 359
    bare = plan_retraining(run, front=True, references=False, section=TINY)
    assert {job.about.trial for job in bare.jobs} == {point.trial for point in shown.members}
    beside = plan_retraining(
        run, [4], references=True, section=TINY.model_copy(update={"seeds": 2})
    )
    names = {job.about.reference for job in beside.jobs}
    assert names >= {"plain", "se/r24", "eca"}
    seeds = [job.about.seed for job in beside.jobs]
    assert seeds == sorted(seeds), "each seed for all networks before the next"
    for trials, front, message in (
        ((), False, "say what to retrain: .* --front, or --trial N"),
        ((99,), False, "has no trial 99; it has 0 to"),
    ):
        with pytest.raises(SpecError, match=message):
            plan_retraining(run, trials, front=front)


def test_a_run_that_is_worked_on_is_left_alone(finished_run: Path) -> None:
    run = open_run(finished_run)
    planned = plan_retraining(run, [1], section=TINY)
    with run_lock(run.path), pytest.raises(SpecError, match="being worked on by"):
        retrain(planned, Heard())


def test_a_training_that_diverges_costs_itself_alone(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    run = open_run(path)
    good = plan_retraining(run, [1], section=TINY)
    wild = plan_retraining(run, [0], section=TINY.model_copy(update={"learning_rate": 1e30}))
    heard = Heard()
    retrain(replace(good, jobs=(*wild.jobs, *good.jobs), workers=1), heard)
    assert [item.diverged for item in heard.ends] == [True, False]
    assert "diverged" in str(heard.ends[0].failure)
    again = plan_retraining(run, [0], section=TINY.model_copy(update={"learning_rate": 1e30}))
    assert again.jobs == () and again.done[0].diverged, "the same seed would diverge again"
    assert run.front().points


def test_weights_that_cannot_be_written_stop_everything(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    run = open_run(path)
    planned = plan_retraining(run, [1], section=TINY)
    (path / "file").write_text("")
    broken = tuple(replace(job, folder=path / "file") for job in planned.jobs)
    with pytest.raises(StorageError, match="a training cannot go on: .*cannot be written"):
        retrain(replace(planned, jobs=broken), Heard())
    assert run.retrained() == []


def nas(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "nas", *map(str, arguments)]


# Two threads that wait for each other on a busy machine take minutes for a second.
ONE_THREAD = ("--set", "retrain.threads=1")
SHORT = ("--seeds", 2, "--epochs", 0.1, "--set", "retrain.batch_size=16", *ONE_THREAD)


@pytest.mark.slow
def test_a_killed_driver_loses_nothing(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    command = nas("retrain", path, "--trial", 1, *SHORT, "--workers", 1)
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    for line in driver.stdout:
        if "seed 1 begins" in line:
            break
    time.sleep(1)
    workers = _children("retrain.worker", driver.pid)
    driver.kill()
    driver.communicate()
    end = time.monotonic() + 120
    while any((Path("/proc") / str(worker) / "exe").exists() for worker in workers):
        assert time.monotonic() < end, "a worker outlives its driver"
        time.sleep(0.1)
    first = open_run(path).retrained()
    assert [item.seed for item in first] == [0]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 trainings are there already" in done.stdout
    both = open_run(path).retrained()
    assert [item.seed for item in both] == [0, 1]
    assert both[0] == first[0]


@pytest.mark.slow
def test_ctrl_c_keeps_where_it_stands(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    command = nas("retrain", path, "--trial", 1, "--epochs", 20, "--seeds", 1, *ONE_THREAD)
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    for line in driver.stdout:
        if line.endswith(" left)\n"):  # some of it is trained, and most is not
            break
    kept = path / "retrained"
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 130, err
    assert "the same command goes on" in out and "Traceback" not in err
    assert list(kept.glob("*.training.safetensors"))


@pytest.mark.slow
def test_two_processes_share_a_training(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = ["retrain", str(path), "--trial", "1", "--trial", "4", "--seeds", "1"]
    more = ["--epochs", "0.3", "--set", "retrain.batch_size=16", "--set", "retrain.ema=0.9"]
    done = subprocess.run([*torchrun, "-m", "nas", *command, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = open_run(path).retrained()
    assert [item.processes for item in found] == [2, 2]
    assert all(item.test_images == 359 and item.loss for item in found)
    assert done.stdout.count("[2/2]") == 1, "one process alone speaks"
    assert done.stdout.count("2 processes share each batch of 16 images, 8 each") == 1
    odd = subprocess.run(
        [*torchrun, "-m", "nas", *command, "--set", "retrain.batch_size=15"],
        capture_output=True,
        text=True,
    )
    assert odd.returncode != 0 and odd.stderr.count("a batch of 15 images cannot be shared") == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_processes_are_started_where_the_section_says_how_many(
    finished_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    before = signal.getsignal(signal.SIGTERM)
    try:
        many, two = (
            plan_retraining(open_run(path), [1], section=TINY.model_copy(update=given))
            for given in (
                {"processes": processes, "batch_size": 64, "epochs": 0.2} for processes in (64, 2)
            )
        )
        heard = Heard()
        assert (two.workers, two.processes) == (1, 2)
        with pytest.raises(SpecError, match="64: each takes 1 CPU, and this machine has"):
            retrain(many, heard)
        assert not heard.begun
        (found,) = retrain(two, heard)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found.complete and found.processes == 2
    assert open_run(path).retrained() == [found] and heard.ends[0].loss == found.loss
    assert not list((path / "retrained").glob("*.training.*"))


@pytest.mark.slow
def test_a_shared_training_whose_process_is_killed_goes_on(
    finished_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "nas"]
    command += ["retrain", str(path), "--trial", "1", "--seeds", "1", "--epochs", "2"]
    command += ["--set", "retrain.batch_size=16"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as driver:
        end = time.monotonic() + 400
        while not list((path / "retrained").glob("*.training.safetensors")):
            assert driver.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        second = _children("retrain", driver.pid)[-1]
        os.kill(second, signal.SIGKILL)
        driver.communicate(timeout=400)
    assert driver.returncode != 0 and not open_run(path).retrained()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = open_run(path).retrained()
    assert found.complete and found.processes == 2 and found.curve is not None
    assert found.curve[-1][0] == pytest.approx(2.0)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not Path("/bin/mount").exists(), reason="needs to mount")
def test_a_full_disk_is_one_line_and_goes_on_later(finished_run: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    used = sum(item.stat().st_size for item in finished_run.rglob("*") if item.is_file())
    size = f"size={used // 1024 + 600}k"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)]).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        shutil.copytree(finished_run, disk / "run")
        command = nas(
            "retrain", disk / "run", "--trial", 1, "--seeds", 1, "--epochs", 0.1, *ONE_THREAD
        )
        full = subprocess.run(command, capture_output=True, text=True)
        assert full.returncode == 2 and full.stderr.count("\n") == 1, full.stderr
        assert "free some space" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        subprocess.run(command, capture_output=True, check=True)
        assert len(open_run(disk / "run").retrained()) == 1
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_cli_dry_run_trains_nothing(
    finished_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.cli import main

    arguments = ["nas", "retrain", str(finished_run), "--trial", "1", "--dry-run", "--json"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--epochs", "3", "--recipe", "modern"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert [item["seed"] for item in told["trainings"]] == [0, 1, 2]
    assert told["recipe"]["epochs"] == 3 and told["recipe"]["ema"] == 0.9999
    assert told["seconds"] > 0
    assert not (finished_run / "retrained").exists()
    for wrong, message in (
        (["--set", "search.trials=3"], "only keys retrain"),
        (["--recipe", "old"], "allowed: 'paper' or 'modern'"),
    ):
        monkeypatch.setattr(sys, "argv", [*arguments, *wrong])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1


def test_threads_are_those_of_the_command_not_of_what_is_left(retrained_run: Path) -> None:
    """A training that goes on with other threads would not come to the same."""
    run = open_run(retrained_run)
    free = TINY.model_copy(update={"threads": None})
    left, whole = (
        plan_retraining(run, [0, 1, 4], section=free.model_copy(update={"epochs": epochs}))
        for epochs in (TINY.epochs, 0.05)
    )
    assert len(left.jobs) == 1 and len(whole.jobs) == 3
    assert left.jobs[0].about.threads == whole.jobs[0].about.threads
