"""Real runs: real digits, real trainings, real worker processes; only very short."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
from support.samples import QUICK, SMALL_SPACE

import nas
from nas.base.errors import SpecError, StorageError
from nas.latency.device import Device
from nas.latency.survey import measure_profile
from nas.models.candidates import Candidates, load_space
from nas.runs.resume import resume
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.prior import KnownEffect, KnownSite, Rules, load_rules
from nas.spec.runner import load_runner
from nas.spec.task import Task
from nas.study.record import COMPLETE, FAILED
from nas.training.loop import evaluate
from nas.training.proxies import PROXIES

pytestmark = pytest.mark.xdist_group("run")


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
    plain = next(point for point in front if point.is_plain)
    assert (plain.loss_saved, plain.loss_noise) == (0.0, 0.0)
    # Nothing but attention was added, and attention takes time.
    assert plain.latency_ms == min(point.latency_ms for point in front)


def test_a_front_of_short_probes_says_so(finished_run: Path) -> None:
    run = open_run(finished_run)
    assert run.read().train_images == len(run.dataset().train)
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


def test_a_trained_network_gives_its_recorded_loss(finished_run: Path) -> None:
    run = open_run(finished_run)
    for trial in (0, 1, 4):
        network = run.network(trial)
        score = evaluate(network, run.dataset(), Task(outputs=10), device=torch.device("cpu"))
        assert score.loss == pytest.approx(run.row(trial)["loss"], abs=1e-4)
        assert score.accuracy == run.row(trial)["accuracy"]


def test_the_python_interface_of_the_readme(finished_run: Path) -> None:
    run = nas.open_run(finished_run)
    for point in run.front().where(latency_ms=("<", 1000)):
        network = nas.build(point.architecture)
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert not list(run.front().where(latency_ms=("<", 0)))


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
    plain = next(point for point in run.front() if point.is_plain)
    (projected,) = [point for point in run.front(device=tmp_path / "slower.json") if point.is_plain]
    assert projected.latency_ms == pytest.approx(2 * plain.latency_ms)


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
        score = evaluate(network, run.dataset(), Task(outputs=10), device=torch.device("cpu"))
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
