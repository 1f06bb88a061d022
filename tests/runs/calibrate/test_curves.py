"""Curves over budget, trained for real on a few digits: kept, gone on with, judged, refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.base.errors import SpecError
from nas.base.files import parse
from nas.data import cached_data, load_data, open_data
from nas.execution.evaluator import EvaluatorSpec, setting_of
from nas.execution.observer import SilentObserver
from nas.execution.side_by_side import SideBySide
from nas.models.candidates import load_space
from nas.runs.calibrate.calibrate import calibrate
from nas.runs.calibrate.curve_plan import CurvePlan, curve_recipe, images_seen, placed_and_halves
from nas.runs.calibrate.curves import calibrate_curves
from nas.runs.retrain import worker
from nas.runs.search_budget import check_fits
from nas.spec.architecture import Architecture
from nas.spec.runner import load_runner
from nas.spec.task import Task
from nas.study.budget_curves import CurvesFound, load_curves
from nas.study.curve_rows import CurveRows
from nas.study.full_training import FullTraining
from nas.training.full import FullTrainingJob, begin
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting

TINY = """
name: tiny
backbones: [mobilenetv2_cifar]
resolutions: [8]
sites: {position: after_depthwise, granularity: block}
blocks:
  se: {reduction: [8]}
"""
TRAINS = "nas.runs.calibrate.curves.carry_out"
CPU = torch.device("cpu")
RUNNER = load_runner(None, ("validation=0.9", "proxy.batch_size=32", "workers=1"))
NAMES = ["plain", "se/r24", "se/r24 early", "se/r24 late"]


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all trainings that were carried out; it grows."""
    found: list[str] = []

    def carry_out(job: FullTrainingJob) -> FullTraining:
        found.append(f"{job.about.reference} {job.recipe.epochs:g} {job.about.seed}")
        return worker.carry_out(job)

    monkeypatch.setattr(TRAINS, carry_out)
    return found


def curves_of(space: Path, out: Path, **options: object) -> CurvesFound:
    options = {"budget": 1.0, "doublings": 1, "seeds": 1} | options
    return calibrate_curves(space, RUNNER, "digits", out, **options)  # type: ignore[arg-type]


def test_hand_placed_networks_have_their_halves(space: Path, small_space: Path) -> None:
    networks = placed_and_halves(load_space(space))
    assert list(networks) == NAMES
    sites = {name: [one.site for one in network.blocks] for name, network in networks.items()}
    assert sites["plain"] == [] and len(sites["se/r24"]) == 7
    assert [len(sites["se/r24 early"]), len(sites["se/r24 late"])] == [3, 4]
    assert sorted(sites["se/r24 early"] + sites["se/r24 late"]) == sites["se/r24"]
    # By the order of the network, in which block 10 is behind block 2.
    deep = placed_and_halves(load_space(small_space))["se/r24 early"].blocks
    assert all(int(one.site.split(".")[1]) <= 3 for one in deep), deep


def test_a_plan_counts_its_trainings(space: Path) -> None:
    plan = CurvePlan.of(load_space(space), 3.0, 2, 1)
    assert plan.budgets == (3.0, 6.0, 12.0) and (plan.seeds, plan.plain_seeds) == (1, 2)
    assert (len(plan), plan.epochs) == (3 * (3 + 2), 21.0 * 5)
    jobs = plan.jobs(RUNNER, "digits", Path("/data"), Path("/kept"), 1000, Task(outputs=10))
    assert len(jobs) == len(plan)
    assert [name for name, _ in jobs[:5]] == [*NAMES, "plain"]
    assert [job.recipe.epochs for _, job in jobs[:5]] == [3.0] * 4 + [6.0]
    assert len({job.run_seed for _, job in jobs if job.about.seed == 0}) == 12, "seeds of their own"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 0.5}, "--budget 0.5 epochs: under one epoch .* allowed: 1 or more"),
        ({"budget": float("nan")}, "--budget nan epochs"),
        ({"budget": float("inf")}, "--budget inf epochs"),
        ({"doublings": 0}, "--doublings 0: a curve needs two budgets"),
        ({"doublings": 7}, "--doublings 7: .* allowed: 1 to 6"),
        ({"seeds": 0}, "--seeds 0: each network"),
    ],
)
def test_what_gives_no_curve_is_refused_before_anything_is_written(
    space: Path, tmp_path: Path, options: dict[str, float], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        curves_of(space, tmp_path / "out", **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_spaces_and_runners_without_one_plain_network_and_all_images_are_refused(
    space: Path, tmp_path: Path
) -> None:
    space.write_text(TINY.replace("[8]\nsites", "[8, 16]\nsites"))
    with pytest.raises(SpecError, match="2 plain networks; curves are of one"):
        curves_of(space, tmp_path / "out")
    space.write_text(TINY)
    with pytest.raises(SpecError, match="proxy.subset=50: curves are of all training images"):
        calibrate_curves(space, load_runner(None, ("proxy.subset=50",)), out=tmp_path / "out")


def test_a_training_is_that_of_the_proxy_scratch(space: Path) -> None:
    """The advice is for `proxy.rungs`, so the two must not drift apart."""
    data = load_data("digits", 8, validation=0.9, seed=0)
    network = placed_and_halves(load_space(space))["se/r24"]
    proxy = RUNNER.proxy.model_copy(update={"kind": "scratch", "rungs": [3.0]})
    proxy = proxy.settled(len(data.train))  # as a search does
    setting = Setting(data, Task(outputs=10), proxy, CPU, {})
    searched = PROXIES["scratch"].begin(network, setting, 7)
    recipe = curve_recipe(RUNNER.proxy, 3.0, len(data.train))
    trained = begin(network, data, recipe, Task(outputs=10), seed=7, device=CPU)
    assert trained.recipe == searched.recipe
    searched.run(3)
    trained.run(3)
    for one, other in zip(searched.network.parameters(), trained.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert images_seen(recipe, data) == searched.recipe.length * 32


def test_stopped_curves_go_on_and_repeat_nothing(
    space: Path, tmp_path: Path, trained: list[str]
) -> None:
    out = tmp_path / "out"

    class Stopping(SilentObserver):
        def step(self, done: int, total: int) -> None:
            if (done, total) == (3, 10):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curves_of(space, out, observer=Stopping())
    with (out / "curves" / "rows.jsonl").open("a") as file:
        file.write('{"trial": 0, "digest": "cut sho')
    found = curves_of(space, out)
    assert len(trained) == len(set(trained)) == found.trainings == 10
    assert [curve.network for curve in found.curves] == NAMES[1:]
    assert [point.trainings for point in found.curves[0].gains] == [1, 1]
    assert found.noise is not None and found.budgets == [1.0, 2.0]
    assert load_curves(out) == found
    assert not list((out / "curves").glob("*.safetensors")), "nothing is left of the trainings"
    assert (out / "curves.png").stat().st_size > 10_000
    assert "</svg>" in (out / "curves.svg").read_text()

    curves_of(space, out)
    assert len(trained) == 10, "all of it was there"
    longer = curves_of(space, out, doublings=2)
    assert longer.budgets == [1.0, 2.0, 4.0] and longer.trainings == 15
    assert {name.split()[-2] for name in trained[10:]} == {"4"}

    with pytest.raises(SpecError, match="holds curves of other recipe; name another folder"):
        calibrate_curves(
            space, RUNNER.model_copy(update={"proxy": RUNNER.proxy.model_copy(update={
                "batch_size": 16})}), "digits", out, budget=1.0,
        )  # fmt: skip
    space.write_text(TINY.replace("[8]}", "[4]}"))
    with pytest.raises(SpecError, match="holds curves of other space"):
        curves_of(space, out)


def test_a_network_that_never_comes_to_its_end_is_said(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Ear(SilentObserver):
        def stage(self, text: str) -> None:
            heard.append(text)

    def carry_out(job: FullTrainingJob) -> FullTraining:
        name = job.about.reference
        values = job.about.to_dict() | {"loss": 1.0 + 0.01 * job.about.seed, "accuracy": 0.5}
        if name == "se/r24" or (name == "se/r24 late" and job.recipe.epochs > 1):
            values |= {"loss": None, "accuracy": None, "failure": "diverged", "diverged": True}
        return FullTraining.from_dict(values)

    monkeypatch.setattr(TRAINS, carry_out)
    found = curves_of(space, tmp_path / "out", observer=Ear())
    everywhere, early, late = found.curves
    assert (everywhere.gains, everywhere.failed) == ([], 2)
    assert everywhere.verdict == late.verdict == "too short to tell" and len(late.gains) == 1
    assert found.lines[0] == "se/r24: no training came to its end; nothing can be said."
    assert (early.failed, found.advice.reason) == (0, "noise")
    assert "se/r24, seed 0: diverged" in heard

    def none(job: FullTrainingJob) -> FullTraining:
        return FullTraining.from_dict(
            job.about.to_dict() | {"failure": "diverged", "diverged": True}
        )

    monkeypatch.setattr(TRAINS, none)
    with pytest.raises(SpecError, match="no curve can be drawn: .* lower proxy.learning_rate"):
        curves_of(space, tmp_path / "other")


def test_a_failure_that_may_not_come_again_is_tried_again(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def carry_out(job: FullTrainingJob) -> FullTraining:
        asked.append(job.about.name)
        values = job.about.to_dict() | {"loss": 1.0 + 0.01 * job.about.seed, "accuracy": 0.5}
        if len(asked) == 2:
            values |= {"loss": None, "failure": "out of memory"}
        return FullTraining.from_dict(values)

    monkeypatch.setattr(TRAINS, carry_out)
    curves_of(space, tmp_path / "out")
    curves_of(space, tmp_path / "out")
    assert asked[10:] == [asked[1]]


def test_folders_of_others_are_refused_and_a_calibration_may_stand_beside(
    space: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(SpecError, match="holds no calibration"):
        curves_of(space, other)
    (other / "curves").mkdir()
    with pytest.raises(SpecError, match="--networks 3: at least 8"):
        calibrate(space, RUNNER, "digits", other, networks=3)


def test_rows_are_read_around_what_is_broken(tmp_path: Path) -> None:
    rows = CurveRows(tmp_path / "curves", {"space": "a"})
    whole = FullTraining(0, "d", "plain", 0, "k", {}, "", 8, loss=1.0)
    rows.keep(whole)
    path = tmp_path / "curves" / "rows.jsonl"
    path.write_text(path.read_text() + "[1]\nnull\n{}\n{\n")
    rows.keep(FullTraining(0, "d", "plain", 1, "k", {}, "", 8, loss=2.0))
    assert sorted(rows.read()) == ["d:0:k", "d:1:k"] and rows.read()["d:0:k"] == whole


def made(**curve: object) -> CurvesFound:
    point = {
        "epochs": 4.0, "images": 4000, "gain": 0.1, "deviation": 0.01, "margin": 0.03,
        "points": 1.0, "trainings": 2,
    }  # fmt: skip
    last = {key: curve.pop(key) for key in ("gain", "deviation", "margin") if key in curve}
    advice = {"epochs": 4.0, "reason": "longest", "told": 1, "contradicted": 0}
    given = curve.pop("advice", {})
    assert isinstance(given, dict)
    advice |= given
    return parse(
        CurvesFound,
        {
            "space": "s", "data": "d", "recipe": "", "budgets": [2.0, 4.0], "noise": 0.01,
            "trainings": 9, "seconds": 1.0, "advice": advice,
            "curves": [
                {"network": "coord", "architecture": "{}", "gains": [point | last]} | curve
            ],
        },
        "made",
    )  # fmt: skip


def test_curves_of_another_head_are_refused() -> None:
    found = made(verdict="ahead").model_copy(update={"head": "fcos", "images": "scenes"})
    rest: dict[str, Any] = {"data": "digits", "images": ["scenes"], "plains": []}
    with pytest.raises(SpecError, match="curves with head fcos, and the search has ssdlite"):
        check_fits(found, Path("old"), **rest, task=Task.of("detection", 2))
    with pytest.raises(SpecError, match="curves with head ssdlite, and the search has fcos"):
        usual = found.model_copy(update={"head": None})
        check_fits(usual, Path("old"), **rest, task=Task.of("detection", 2, "fcos"))


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (
            {"verdict": "ahead"},
            r"coord is ahead of plain: at 4 epochs its gain is \+0.100 ±0.010\.$",
        ),
        ({"verdict": "crossed", "crossings": [2500.4]}, "crosses it at 2,500 images: at 4"),
        ({"verdict": "crossed", "crossings": [-100.0, 2500.0]}, r"100, 2,500 \(more than once\)"),
        ({"verdict": "behind", "gain": -0.1}, "has not crossed plain and does not catch up"),
        ({"verdict": "behind", "gain": -0.1, "crossings": [-900.0]}, "fell behind it at 900"),
        (
            {"verdict": "too short to tell", "gain": -0.1, "catching_up": True},
            "has not crossed plain yet and catches up: at 4 epochs its gain is -0.100",
        ),
        ({"verdict": "too short to tell", "gain": 0.02}, "too short to tell from plain: .*0.030"),
        (
            {"verdict": "too short to tell", "deviation": None, "margin": None},
            "no training was repeated",
        ),
    ],
)
def test_every_curve_has_its_sentence(curve: dict[str, object], said: str) -> None:
    assert re.search(said, made(**curve).lines[0]), made(**curve).lines[0]


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        ({"reason": "shortest", "epochs": 2.0}, r"rungs=\[2\]: at 2 epochs no network is told oth"),
        ({"reason": "longest"}, r"rungs=\[4\]: 2 epochs tell less than 4"),
        ({"reason": "longest", "contradicted": 2}, "2 epochs, which turned 2 signs round, tell"),
        ({"reason": "rising"}, "4 epochs are too short: .*One --doublings more"),
        ({"reason": "noise"}, "not even 4 epochs tell any network from plain. More --seeds"),
    ],
)
def test_the_advice_says_why(advice: dict[str, object], said: str) -> None:
    line = made(verdict="ahead", advice=advice).lines[-1]
    assert line.startswith("Search with --set proxy.kind=scratch --set proxy.rungs=")
    assert re.search(said, line), line


def test_images_are_those_of_a_search(space: Path) -> None:
    folder = cached_data("digits", 8, validation=0.9, seed=RUNNER.search.seed)
    assert len(open_data(folder).train) < 150


def test_on_gpus_as_many_go_at_a_time_as_a_search_would_take(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EvaluatorSpec] = []
    placed: list[tuple[int, list[str]]] = []

    def measured(spec: EvaluatorSpec, architecture: str, **options: object) -> SideBySide:
        asked.append(EvaluatorSpec.from_dict(spec.to_dict()))  # as a process reads it
        setting = replace(setting_of(asked[0]), device=CPU)
        PROXIES["scratch"].begin(Architecture.from_json(architecture), setting, 0).run(1)
        assert options["gpus"] == ["0", "1"]
        return SideBySide(2, "told so", ())

    def side_by_side(jobs: Sequence[FullTrainingJob], **options: object) -> None:
        placed.append((options["workers"], options["gpus"]))  # type: ignore[arg-type]
        for job in jobs:
            options["keep"](job, worker.carry_out(job))  # type: ignore[operator]

    curves = "nas.runs.calibrate.curves"
    monkeypatch.setattr(f"{curves}.visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(f"{curves}.measure_side_by_side", measured)
    monkeypatch.setattr(f"{curves}.train_side_by_side", side_by_side)
    auto = RUNNER.model_copy(update={"workers": "auto"})
    calibrate_curves(space, auto, "digits", tmp_path / "out", budget=1.0, doublings=1, seeds=1)
    assert placed == [(4, ["0", "1"])] and asked[0].proxy.batch_size == 32
    calibrate_curves(space, RUNNER, "digits", tmp_path / "out", budget=1.0, doublings=1, seeds=1)
    assert len(asked) == 1, "what is asked for is not measured, and nor is nothing to do"
