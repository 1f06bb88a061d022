"""A search of each task: from images to a front, full training and what is shown of both."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from support.task_runs import RunOf

import nas
from nas.base.errors import SpecError
from nas.cli.output.console import make_console
from nas.cli.output.retrain_progress import RetrainWatcher
from nas.cli.show import show
from nas.report.chart_data import collect_chart_data
from nas.report.snapshot import Snapshot
from nas.runs.check import check_new_run
from nas.runs.retrain.plan import plan_retraining
from nas.runs.retrain.retrain import retrain
from nas.spec.runner import Runner, load_runner
from nas.spec.space import SearchSpace
from nas.spec.task import TASKS, TaskName
from nas.study.front.caveats import caveat_lines

SPACE = SearchSpace.model_validate(
    {
        "name": "one-kind",
        "backbones": ["mobilenetv2_035"],
        "resolutions": [32],
        "total_stride": 16,
        "sites": {"granularity": "network", "exclude": ["blocks.0.*"]},
        "blocks": {"eca": {}},
    }
)
QUICK = (
    "search.trials=1",
    "search.confirm_seeds=1",
    "workers=1",
    "device=torch",
    "proxy.unit=steps",
    "proxy.rungs=[2]",
    "proxy.subset=200",
)


def quick(task: TaskName, *more: str) -> Runner:
    return load_runner(None, (*QUICK, f"task={task}", *more))


@pytest.mark.parametrize(
    "task",
    [
        pytest.param("segmentation", marks=pytest.mark.slow),
        pytest.param("retrieval", marks=pytest.mark.slow),
        "detection",
    ],
)
def test_a_search_and_a_full_training_go_by_the_figure_of_their_task(
    task: TaskName, run_of: RunOf, tmp_path: Path
) -> None:
    run = nas.open_run(shutil.copytree(run_of(task).path, tmp_path / "run"))
    assert run.file.task == task and run.file.head == TASKS[task].heads[0]
    name, *_ = (figure.name for figure in TASKS[task].figures)
    points = json.loads(run.front().to_json())
    assert len(points) >= 2
    assert all(0 <= point[name] <= 1 and "accuracy" not in point for point in points)
    assert len(run.front().where(f"{name} >= 0")) == len(points)
    with pytest.raises(SpecError, match=f"unknown name 'accuracy'; known: .*{name}"):
        run.front().where("accuracy >= 0")

    section = run.file.retrain.model_copy(update={"epochs": 0.02, "seeds": 1})
    (result,) = retrain(plan_retraining(run, (0,), section=section), RetrainWatcher(make_console()))
    assert result.failure is None, result.failure
    assert result.test_figures is not None
    absent = {figure.name for figure in TASKS[task].figures} - set(result.test_figures)
    assert absent <= {"ap_medium", "ap_large"}  # no digit is 32 pixels wide
    points = json.loads(run.front().to_json())
    tested = [point[f"retrained_test_{name}"] for point in points if point["trial"] == 0]
    assert tested == [pytest.approx(result.test_figures[name])]


@pytest.mark.slow
def test_a_search_places_blocks_around_the_backbone_too(tmp_path: Path) -> None:
    parts = SPACE.sites.model_copy(update={"part": ["backbone", "neck", "head"]})
    space = SPACE.model_copy(update={"sites": parts})
    with pytest.raises(SpecError, match="part neck: a network of classification is its backbone"):
        nas.search(space, quick("classification"), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()

    run = nas.search(space, quick("segmentation", "head=fpn"), "digits", tmp_path / "run")
    blocks = [one for point in run.front().points for one in point.architecture.blocks]
    assert {one.site.partition(".")[0] for one in blocks} == {"blocks", "head"}
    data = collect_chart_data(Snapshot.of(run))
    names = [site["name"] for backbone in data["backbones"] for site in backbone["sites"]]
    assert "head.finest/after_convolution" in names


@pytest.mark.slow
def test_a_training_that_collapsed_is_told_wherever_its_network_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collapsing = ("proxy.kind=scratch", "proxy.learning_rate=20", "proxy.rungs=[15]")
    run = nas.search(SPACE, quick("retrieval", *collapsing), "digits", tmp_path / "run")
    assert [point.loss for point in run.front()] == [pytest.approx(math.log(74.5), abs=0.01)] * 2
    (line,) = caveat_lines(run.front())
    assert line.startswith("All 2 networks here are no better than one answer to all images (rank")
    show(run.path, 0)
    assert "no better than one answer to all images, which has 3.2%" in capsys.readouterr().out


@pytest.mark.parametrize("task", TASKS)
def test_whose_published_comparisons_guide_a_search_is_said(task: TaskName, tmp_path: Path) -> None:
    def notes(*more: str) -> str:
        new = check_new_run(SPACE, quick(task, *more), "digits", tmp_path / "run")
        return "\n".join(new.notes)

    said = f"are of classification: for {task} they say where attention may pay, not how much"
    assert (said in notes()) is (task != "classification")
    assert "published" not in notes("search.published_prior=false")


def test_a_head_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="head 'unet'; allowed for retrieval: embedding"):
        nas.search(SPACE, quick("retrieval", "head=unet"), "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cifar10"):
        nas.search(SPACE, quick("segmentation"), "cifar10", tmp_path / "run")
