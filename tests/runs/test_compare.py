"""Several runs at once: one front, what may not be mixed, and which is ahead."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from support.samples import make_record
from support.simulated_run import simulated_run

from nas.base.errors import SpecError
from nas.runs.compare import alike, compare, compare_fronts, front_of_runs
from nas.runs.run_file import RunFile
from nas.spec.objective import objectives_named
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.network_belief import NetworkBelief
from nas.study.trials import Trials

pytestmark = pytest.mark.xdist_group("run")


def front_of(
    shift: float, names: str = "abc", seeds: int = 3, noise: float = 0.01, *, believe: bool = False
) -> Front:
    """Some networks and a plain one, each with some seeds whose losses lie a little apart."""
    records = []
    for number, name in enumerate(["plain", *names]):
        for repeat in range(seeds):
            wobble = noise * ((number * 7 + repeat * 5) % 4 - 1.5)
            records.append(
                make_record(
                    len(records),
                    name=name,
                    reference="plain" if name == "plain" else None,
                    loss=1.0 - 0.1 * number - shift * (number > 0) + wobble,
                    latency_ms=1.0 + number,
                    seed=repeat,
                    repeat=repeat,
                )
            )
    trials = Trials.of(records)
    belief = NetworkBelief.of(trials, Budgets("start", (1.0,), 1.0, 1.0)) if believe else None
    return Front.of(trials, objectives_named(["loss", "latency_ms"]), belief=belief)


def test_joined_points_say_their_run_and_save_against_their_own_plain() -> None:
    joined = Front.joined({"one": front_of(0.0), "two": front_of(0.2)})
    assert {point.run for point in joined} == {"one", "two"}
    assert [(point.run, point.on_front) for point in joined.references] == [
        ("one", True), ("two", False),
    ] or len(joined.references) == 2  # fmt: skip
    better = [point for point in joined.members if point.reference is None]
    assert {point.run for point in better} == {"two"}
    plain = {point.run: point.loss for point in joined.references}
    for point in joined:
        assert point.loss_saved == pytest.approx(plain[point.run] - point.loss)
    assert joined.noise_freedom > front_of(0.0).noise_freedom
    assert joined.paired_noise == joined.seed_noise


def test_filters_know_the_run_of_a_network() -> None:
    joined = Front.joined({"one": front_of(0.0), "two": front_of(0.2)})
    assert {point.run for point in joined.where("run == 'one'")} == {"one"}


def test_a_clear_difference_is_told_and_an_equal_one_is_not() -> None:
    found = compare_fronts(front_of(0.3), front_of(0.0))
    assert found.first > found.second
    assert found.low > 0 and found.probability > 0.99
    assert "first is ahead" in found.verdict
    turned = compare_fronts(front_of(0.0), front_of(0.3))
    assert turned.high < 0 and "second is ahead" in turned.verdict
    same = compare_fronts(front_of(0.001, noise=0.05), front_of(0.0, noise=0.05))
    assert same.low < 0 < same.high
    assert "inside the noise" in same.verdict


def test_beliefs_are_compared_where_there_are_any() -> None:
    found = compare_fronts(front_of(0.3, believe=True), front_of(0.0, believe=True))
    assert found.low > 0 and found.probability > 0.95
    equal = compare_fronts(front_of(0.0, believe=True), front_of(0.0, believe=True))
    assert equal.low < 0 < equal.high


def test_without_repeats_nothing_is_claimed() -> None:
    found = compare_fronts(front_of(0.3, seeds=1), front_of(0.0, seeds=1))
    assert found.first > found.second
    assert math.isnan(found.low)
    assert "Too few" in found.verdict


def test_pictures_do_not_say_where_the_images_lie() -> None:
    for given, shown in (
        ("folder:/home/someone/cats", "folder:cats"),
        ("hf:someone/cats", "hf:someone/cats"),
        ("digits", "digits"),
    ):
        assert RunFile(data=given).data_name == shown


@pytest.fixture
def another(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "another"))


def test_two_runs_make_one_front(finished_run: Path, another: Path) -> None:
    front = front_of_runs([finished_run, another])
    assert {point.run for point in front} == {str(finished_run), str(another)}
    assert len(front_of_runs([finished_run, finished_run])) == len(front_of_runs([finished_run]))
    assert len(front_of_runs([finished_run])) * 2 == len(front)
    assert {point.run for point in front_of_runs([finished_run])} == {None}


def test_different_data_and_devices_are_not_mixed_unless_asked(
    finished_run: Path, another: Path
) -> None:
    about = json.loads((another / "environment.json").read_text())
    about["data"]["key"] = "f" * 16
    (another / "environment.json").write_text(json.dumps(about))
    with pytest.raises(SpecError, match=r"differ in their data .*--mixed"):
        front_of_runs([finished_run, another])
    with pytest.raises(SpecError, match="digits at 32x32, .* their files are not the same"):
        compare(finished_run, another)
    space = (another / "space.yaml").read_text()
    (another / "space.yaml").write_text(space.replace("- 32", "- 16"))
    with pytest.raises(SpecError, match=r"digits at 32x32, 20% .*; digits at 16x16, 20% "):
        compare(finished_run, another)
    (another / "space.yaml").write_text(space)
    assert front_of_runs([finished_run, another], mixed=True)
    shutil.copyfile(finished_run / "environment.json", another / "environment.json")
    device = json.loads((another / "device.json").read_text())
    (another / "device.json").write_text(json.dumps(device | {"processor": "another"}))
    with pytest.raises(SpecError, match="differ in their device"):
        front_of_runs([finished_run, another])


def test_a_run_is_not_compared_with_itself(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="given twice"):
        compare(finished_run, finished_run)
    with pytest.raises(SpecError, match="does not exist"):
        compare(finished_run, tmp_path / "none")


def test_figures_of_two_precisions_are_in_no_front(tmp_path: Path) -> None:
    runs = []
    for precision in (None, "fp32", "bf16"):  # of an earlier version, which is fp32, and later
        path = tmp_path / str(precision)
        runs.append(simulated_run(path, proxy={"precision": precision}, search={"trials": 3}))
        about = json.loads((path / "environment.json").read_text())
        about["data"] |= {"key": "digits-1234"}
        (path / "environment.json").write_text(json.dumps(about))
    states = [run.read() for run in runs]
    assert alike(states[0], states[1])
    assert not alike(states[1], states[2])
    with pytest.raises(
        SpecError, match=r"differ in their proxy \(.*; .*, in bf16\): figures of di"
    ):
        front_of_runs([run.path for run in runs])
