"""A run as its readers see it: each file read once for one task, and anew for the next."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.simulated_run import simulated_run

from nas.base.errors import SpecError, StorageError
from nas.cli import app
from nas.runs.compare import compare
from nas.runs.retrain.plan import plan_retraining
from nas.runs.run import Run, open_run
from nas.spec.recipe import Retrain
from nas.strategy.storage.store import Store
from nas.study.trials import Trials

pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the study, environment.json and calibration.json were read."""
    count: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **keys: Any) -> Any:
            count[name] += 1
            return function(*args, **keys)

        return call

    monkeypatch.setattr(Trials, "read", counted("study", Trials.read))
    monkeypatch.setattr(Store, "records", counted("study", Store.records))
    monkeypatch.setattr(Run, "environment", counted("environment", Run.environment))
    loading = "nas.runs.run.load_calibration"
    monkeypatch.setattr(loading, counted("calibration", lambda path: None))
    return count


def test_one_export_reads_the_run_once(
    finished_run: Path,
    tmp_path: Path,
    reads: Counter[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "winner.onnx"
    app(["export", str(finished_run), "1", "--out", str(out)], standalone_mode=False)
    assert reads == {"study": 1, "environment": 1}
    assert "weights: of the search" in capsys.readouterr().out and out.exists()


def test_one_pack_reads_the_run_once(
    finished_run: Path, tmp_path: Path, reads: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    app(["export", str(finished_run), "1", "--out", str(tmp_path / "pack")], standalone_mode=False)
    assert reads == {"study": 1, "environment": 1}
    assert "weights: of the search" in capsys.readouterr().out


def test_a_front_a_plan_and_a_comparison_read_a_run_once(
    finished_run: Path, tmp_path: Path, reads: Counter[str]
) -> None:
    run = open_run(finished_run)
    run.front()
    assert reads == {"study": 1, "environment": 1}
    reads.clear()
    assert plan_retraining(run, [1, 4], front=True, section=Retrain(epochs=0.1)).jobs
    assert reads == {"study": 1, "environment": 1}
    reads.clear()
    shutil.copytree(finished_run, tmp_path / "copy")
    compare(finished_run, tmp_path / "copy")
    assert reads == {"study": 2, "environment": 2}


def test_a_state_stays_and_the_run_is_read_anew(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", stop_after=4)
    state = run.read()
    before = len(state.trials)
    simulated_run(tmp_path / "longer", stop_after=9)
    shutil.copyfile(tmp_path / "longer" / "study.journal", run.path / "study.journal")
    assert len(state.trials) == before and len(run.trials()) > before
    assert len(run.read().trials) == len(run.trials())


def test_a_run_without_its_environment_has_a_front_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    run = simulated_run(tmp_path / "run")
    (run.path / "environment.json").unlink()
    state = run.read()
    assert state.environment is None and state.train_images is None
    assert state.front().points
    with pytest.raises(StorageError, match=r"environment.json cannot be read"):
        state.data()


def test_a_broken_calibration_troubles_fronts_alone(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    (run.path / "calibration.json").write_text("broken")
    assert run.row(0)["trial"] == 0
    with pytest.raises(SpecError, match="cannot read the calibration"):
        run.front()


def test_a_folder_of_runs_lists_them(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "run.yaml").write_text("")
    with pytest.raises(
        SpecError, match=r"is a folder of runs; name one of them: .*run7 and 2 more"
    ):
        open_run(tmp_path)
