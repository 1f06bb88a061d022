"""The plain network, widened to the latency of a search's winners, as a trial of the study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.samples import QUICK, SMALL_SPACE
from typer.testing import CliRunner

import nas
from nas.base.errors import MeasurementError
from nas.cli.application import app
from nas.execution.observer import SilentObserver
from nas.runs.retrain.width_rivals import WidthRivals, widest_within
from nas.runs.run import Run
from nas.spec.architecture import Architecture
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.spec.width import is_widened, split_width
from nas.study.record import Latency

pytestmark = pytest.mark.xdist_group("run")

SCRATCH = (
    "workers=1",
    "search.trials=5",
    "search.confirm_seeds=1",
    "proxy.kind=scratch",
    "proxy.unit=steps",
    "proxy.rungs=[4]",
    "retrain.epochs=0.03",
    "retrain.batch_size=32",
    "retrain.threads=1",
)
PLACED = ("se/r24", "eca")


class _Said(SilentObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("limit", "widest"), [(0.9, None), (1.0, 1.0), (1.35, 1.3), (1.3, 1.3), (9.0, 1.9)]
)
def test_the_widest_within_a_latency_is_found_by_bisection(
    limit: float, widest: float | None
) -> None:
    asked: list[float] = []

    def latency_of(factor: float) -> float:
        asked.append(factor)
        return factor

    factors = [1 + number / 10 for number in range(10)]
    assert widest_within(factors, latency_of, limit) == widest
    assert len(asked) <= 4


def test_of_no_width_none_is_within() -> None:
    assert widest_within([], lambda factor: factor, 1.0) is None


def _space(backbone: str = "mobilenetv2_cifar") -> SearchSpace:
    values = yaml.safe_load(SMALL_SPACE) | {"backbones": [backbone], "resolutions": [16]}
    return SearchSpace.model_validate(values | {"total_stride": None, "sites": {}})


def _search(tmp_path: Path, *overrides: str, backbone: str = "mobilenetv2_cifar") -> Run:
    runner = load_runner(overrides=(*SCRATCH, *overrides))
    return nas.search(_space(backbone), runner, "digits", tmp_path / "run")


def _status(run: Run) -> str:
    result = CliRunner().invoke(app, ["status", str(run.path)])
    assert result.exit_code == 0, result.output
    return result.output


def _make_winners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what was placed by hand for winners, whatever a few steps made of it."""
    monkeypatch.setattr(
        "nas.runs.retrain.width_rivals.find_winners",
        lambda points, references: [
            replace(point, on_front=True, latency_ms=1.3 * plain.latency_ms)
            for plain in [next(item for item in references if item.reference == "plain")]
            for point in points
            if point.reference in PLACED
        ],
    )


def _latencies_by_width(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let latency be in proportion to the width; returns the backbones that are measured."""
    measured: list[str] = []

    def measure(architectures: Sequence[Architecture], **more: object) -> dict[str, Latency]:
        measured.extend(item.backbone for item in architectures)
        return {
            item.digest: Latency(
                float(more["anchor_ms"]) * split_width(item.backbone)[1],
                None,
                0.01,  # type: ignore[arg-type]
            )
            for item in architectures
        }

    monkeypatch.setattr("nas.runs.retrain.width_rivals.measure_architectures", measure)
    return measured


@pytest.mark.slow
def test_a_rival_is_a_trial_beside_the_winners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _search(tmp_path)
    _make_winners(monkeypatch)
    measured = _latencies_by_width(monkeypatch)
    placed = [point.trial for point in run.front() if point.reference == "se/r24"]
    said = _Said()
    rivals = WidthRivals(run, said)
    assert rivals.enter(placed, most=9)
    # At most a few are measured of a hundred, and each once.
    assert 0 < len(measured) <= 8 and len(set(measured)) == len(measured)
    row = run.row(len(run.trials()) - 1)
    name, factor = split_width(Architecture.from_json(row["architecture"]).backbone)
    assert name == "mobilenetv2_cifar" and 1.2 < factor <= 1.33
    assert row["reference"] == f"plain x{factor:g}" and row["state"] == "COMPLETE"
    assert not row["eligible"] and row["latency_ms"] <= 1.33 * run.row(0)["latency_ms"]
    assert not rivals.enter(placed, most=9)
    # It is read by everything that reads a study.
    point = next(point for point in run.front() if is_widened(point.reference))
    assert not point.on_front and point.architecture.insertions == ()
    assert json.loads(run.front().to_json())[0]["trial"] is not None
    # It is no network that the search proposed: the plan goes on as if it were not there.
    nas.resume(run.path, trials=5)
    assert len([row for row in run.trials()["reference"] if is_widened(row)]) == 1
    assert "networks: 5 evaluated, of 5 planned" in _status(run)
    nas.resume(run.path, trials=6)
    assert (run.trials()["repeat"] == 0).sum() == 7


@pytest.mark.slow
def test_winners_that_gain_most_get_the_rivals_that_a_study_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _search(tmp_path)
    plain_ms = float(run.row(0)["latency_ms"])
    gains, times = {"se/r24": 0.1, "eca": 0.3}, {"se/r24": 1.6, "eca": 1.3}
    monkeypatch.setattr(
        "nas.runs.retrain.width_rivals.find_winners",
        lambda points, references: [
            replace(
                point,
                on_front=True,
                latency_ms=times[point.reference] * plain_ms,
                believed=replace(point.believed, gain=gains[point.reference]),
            )
            for point in points
            if point.reference in PLACED
        ],
    )
    _latencies_by_width(monkeypatch)
    placed = [point.trial for point in run.front() if point.reference in PLACED]
    rivals = WidthRivals(run, SilentObserver())
    assert rivals.enter(placed, most=1)
    (rival,) = (row for row in run.trials()["reference"] if is_widened(row))
    assert 1.2 < float(rival.removeprefix("plain x")) <= 1.33
    assert not rivals.enter(placed, most=1)
    # One that would take most of what is left is left out, and that is said once.
    monkeypatch.setattr(
        "nas.runs.retrain.width_rivals.estimate_seconds",
        lambda run, network, task: 9.0 if split_width(network.backbone)[1] > 1 else 3.0,
    )
    said = _Said()
    rivals = WidthRivals(run, said)
    for _ in range(2):
        assert not rivals.enter(placed, most=2, affordable=2.9)
    assert sum("takes as long as 3.0 of the plain network" in line for line in said.lines) == 1
    assert rivals.enter(placed, most=2, affordable=3.1)


@pytest.mark.slow
def test_a_search_ends_in_full_trainings_of_rivals_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _latencies_by_width(monkeypatch)
    _make_winners(monkeypatch)
    monkeypatch.setattr(
        "nas.runs.retrain.in_search.find_winners",
        lambda points, references: [point for point in points if point.reference in PLACED],
    )
    monkeypatch.setattr(
        "nas.runs.retrain.in_search.find_rival",
        lambda winner, points: next((p for p in points if is_widened(p.reference)), None),
    )
    run = _search(tmp_path, "search.full_trainings=6")
    trained = {training.trial: training.reference for training in run.retrained()}
    assert any(is_widened(reference) for reference in trained.values()), trained


@pytest.mark.slow
def test_without_a_width_it_is_said_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _search(tmp_path)
    _make_winners(monkeypatch)
    monkeypatch.setattr("nas.runs.retrain.width_rivals.widths", lambda backbone: ())
    said, placed = _Said(), list(range(len(run.trials())))
    assert not WidthRivals(run, said).enter(placed, most=9)
    assert said.lines == [
        "would width do better? Not checked: mobilenetv2_cifar has no width that could be raised"
    ]


@pytest.mark.slow
def test_what_cannot_be_measured_is_said_once_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _search(tmp_path)
    _make_winners(monkeypatch)

    def fail(*arguments: object, **more: object) -> None:
        raise MeasurementError("no such operator")

    monkeypatch.setattr("nas.runs.retrain.width_rivals.measure_architectures", fail)
    said, placed = _Said(), list(range(len(run.trials())))
    rivals, before = WidthRivals(run, said), len(run.trials())
    assert not rivals.enter(placed, most=9) and not rivals.enter(placed, most=9)
    assert len(run.trials()) == before
    told = [line for line in said.lines if line.startswith("would width do better?")]
    assert told == ["would width do better? It cannot be checked: no such operator"]


@pytest.mark.slow
def test_a_rival_that_fails_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _search(tmp_path)
    _make_winners(monkeypatch)
    _latencies_by_width(monkeypatch)
    monkeypatch.setattr(
        "nas.execution.evaluator.cost",
        lambda *arguments, **more: (_ for _ in ()).throw(RuntimeError("no memory")),
    )
    said, placed = _Said(), list(range(len(run.trials())))
    WidthRivals(run, said).enter(placed, most=9)
    row = run.row(len(run.trials()) - 1)
    assert row["state"] == "FAILED" and "no memory" in row["failure"]
    assert any("cannot be trained: " in line for line in said.lines)
    assert not WidthRivals(run, said).enter(placed, most=9)


@pytest.mark.slow
def test_networks_that_are_trained_on_get_no_rival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace.model_validate(yaml.safe_load(SMALL_SPACE))
    run = nas.search(space, load_runner(overrides=QUICK), "digits", tmp_path / "run")
    _make_winners(monkeypatch)
    said = _Said()
    assert not WidthRivals(run, said).enter(list(range(len(run.trials()))), most=9)
    assert said.lines == [
        "would width do better? Not asked in the regime finetune: the plain network widened has no "
        "trained weights"
    ]


@pytest.mark.slow
def test_a_front_is_trained_fully_beside_rivals_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _search(tmp_path)
    _make_winners(monkeypatch)
    _latencies_by_width(monkeypatch)
    command = ["retrain", str(run.path), "--front", "--rivals", "1", "--seeds", "1"]
    result = CliRunner().invoke(app, [*command, "--workers", "1"])
    assert result.exit_code == 0, result.output
    trained = {training.reference for training in run.retrained()}
    assert sum(is_widened(reference) for reference in trained) == 1
    # The same command goes on, and asks for no other.
    result = CliRunner().invoke(app, [*command, "--workers", "1"])
    assert result.exit_code == 0 and "are there already" in result.output
    assert sum(is_widened(row) for row in run.trials()["reference"]) == 1
