"""Each logger through its own library, and what happens when one fails."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from support.samples import make_record
from support.simulated_run import invented, simulated_run

from nas.base.errors import SpecError
from nas.execution.observer import SilentObserver
from nas.runs import loggers
from nas.runs.loggers import LoggingObserver, check_loggers, with_loggers
from nas.runs.run import Run, open_run
from nas.spec.runner import load_runner
from nas.spec.storage_url import StorageUrl
from nas.study.record import Job, Outcome

READS_ALL = sqlalchemy.make_url("sqlite:///%3F").database == "?"  # which SQLAlchemy 2.0 does not


class Heard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.values: dict[int, dict[str, float]] = {}
        self.texts: dict[int, str] = {}
        self.pictures: list[Path] = []
        self.closed: list[bool] = []

    def figures(self, values: Mapping[str, float], trial: int) -> None:
        self.values[trial] = dict(values)

    def text(self, name: str, text: str, trial: int) -> None:
        self.texts[trial] = text

    def picture(self, path: Path) -> None:
        self.pictures.append(path)

    def close(self, *, finished: bool) -> None:
        self.closed.append(finished)


class Said(SilentObserver):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return simulated_run(tmp_path_factory.mktemp("runs") / "run", stop_after=0)


def test_a_sink_hears_of_every_trial(tmp_path: Path, folder: Run) -> None:
    def evaluate(job: Job) -> Outcome:
        return Outcome(failure="loss is nan") if job.trial == 4 else invented(job)

    heard = Heard()
    run = simulated_run(
        tmp_path / "run",
        evaluate=evaluate,
        search={"trials": 8, "confirm_seeds": 1},
        observer=LoggingObserver("heard", heard, folder, SilentObserver()),
    )
    trials = run.trials()
    assert sorted(heard.values) == list(range(8))
    for trial, values in heard.values.items():
        assert values.get("trial/loss", math.nan) == pytest.approx(
            trials["loss"][trial], nan_ok=True
        )
        assert values["best/loss"] == np.nanmin(trials["loss"][: trial + 1])
        assert values["trials/settled"] == trial + 1
    assert heard.texts[0] == "plain, hand-placed: mobilenetv2_035 [as it comes]"
    assert heard.texts[4].startswith("FAILED, loss is nan: mobilenetv2_035 [")


def test_what_waits_at_a_rung_is_told_as_that(tmp_path: Path, folder: Run) -> None:
    heard = Heard()
    simulated_run(
        tmp_path / "run",
        search={"trials": 9},
        proxy={"rungs": [1.0, 3.0]},
        observer=LoggingObserver("heard", heard, folder, SilentObserver()),
    )
    assert any("rung1/loss" in values for values in heard.values.values())


def test_a_logger_that_fails_is_told_once_and_left_alone(folder: Run) -> None:
    class Broken(Heard):
        def figures(self, values: Mapping[str, float], trial: int) -> None:
            raise ConnectionError("no route to host")

    said, sink = Said(), Broken()
    observer = LoggingObserver("broken", sink, folder, said)
    observer.finished(make_record(0))
    observer.finished(make_record(1))
    observer.close(None, None, None)
    assert said.stages == ["broken has failed and is told no more: no route to host"]
    assert sink.closed == [] and sink.texts == {}


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_loggers_are_closed_however_a_search_ends(
    folder: Run, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    heard = Heard()

    class Module:
        open = staticmethod(lambda run: heard)

    monkeypatch.setattr(loggers, "import_module", lambda name: Module)
    monkeypatch.setattr(loggers, "check_loggers", lambda names: None)
    file = folder.file.model_copy(update={"loggers": ["tensorboard"]})
    run = Run(folder.path, folder.space, file)
    try:
        with with_loggers(run, SilentObserver()) as observer:
            observer.finished(make_record(0))
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert heard.closed == [error is None]
    assert 0 in heard.values


def test_a_library_that_is_not_there_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r'pip install "attention-nas\[mlflow\]"'):
        check_loggers(["mlflow"])
    check_loggers([])
    with pytest.raises(SpecError, match="loggers"):
        load_runner(None, ("loggers=[comet]",))


def searched_with(name: str, path: Path) -> Run:
    """A simulated search whose run.yaml names a logger, told through the real library."""
    about = simulated_run(path / "about", stop_after=0, loggers=[name])
    (about.path / "front.png").write_bytes(_pixel())
    with with_loggers(about, SilentObserver()) as observer:
        simulated_run(
            path / "searched", search={"trials": 6, "confirm_seeds": 1}, observer=observer
        )
    return open_run(path / "searched")


def _pixel() -> bytes:
    from io import BytesIO

    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, [[[0.5, 0.5, 0.5]] * 4] * 4, format="png")
    return file.getvalue()


def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason='pip install "attention-nas[tensorboard]"')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = searched_with("tensorboard", tmp_path)
    found = EventAccumulator(str(tmp_path / "about" / "tensorboard"))
    found.Reload()
    losses = {event.step: event.value for event in found.Scalars("trial/loss")}
    assert losses == pytest.approx(dict(enumerate(run.trials()["loss"])), rel=1e-6)
    assert [event.value for event in found.Scalars("trials/settled")] == [1, 2, 3, 4, 5, 6]
    assert "front" in found.Tags()["images"]
    assert "network/text_summary" in found.Tags()["tensors"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", ["runs", f"100%2F x{'?@' if READS_ALL else ''}=1 #1 ü"])
def test_mlflow_reads_what_was_told(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason='pip install "attention-nas[mlflow]"')
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tmp_path = tmp_path / folder
    run = searched_with("mlflow", tmp_path)
    database = tmp_path / "about" / "mlflow.db"
    assert database.is_file()
    client: Any = mlflow.MlflowClient(StorageUrl.of_file(database).connection_url())
    experiment = client.get_experiment_by_name("attention-nas")
    (told,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(told.info.run_id, "trial/loss")
    losses = {metric.step: metric.value for metric in history}
    assert losses == pytest.approx(dict(enumerate(run.trials()["loss"])))
    assert told.info.status == "FINISHED"
    assert told.data.params["space"] == "small"
    assert told.data.tags["network.0"].startswith("plain, hand-placed")
    assert [item.path for item in client.list_artifacts(told.info.run_id)] == ["front.png"]
    # A resumed search goes on with the same.
    with with_loggers(open_run(tmp_path / "about"), SilentObserver()):
        pass
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.mark.slow
def test_wandb_offline_keeps_what_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason='pip install "attention-nas[wandb]"')
    monkeypatch.setenv("WANDB_MODE", "offline")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        searched_with("wandb", tmp_path)
    (kept,) = (tmp_path / "about" / "wandb").glob("offline-run-*/*.wandb")
    told = kept.read_bytes()
    assert b"trial/loss" in told and b"plain, hand-placed" in told


def test_wandb_without_a_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason='pip install "attention-nas[wandb]"')
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    run = simulated_run(tmp_path / "run", stop_after=0, loggers=["wandb"])
    with (
        pytest.raises(SpecError, match="run `wandb login` first"),
        with_loggers(run, SilentObserver()),
    ):
        pass
