"""Runs of an earlier version are shown, resumed, exported and retrained by this one.

support/before_the_move.tar.xz holds three runs of commit 404c389, whose modules had other names: a
finished one with two full trainings, one in SQLite, and one whose driver was killed with a job
out; and what `nas front --json` and `nas show --json` said of the first. Two budgets, so that
networks were stopped early; latencies are those of a device profile, so that no machine matters.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from support.samples import ROOT
from typer.testing import CliRunner

from nas.cli import app
from nas.export import export_trial
from nas.runs.resume import resume
from nas.runs.retrain.plan import plan_retraining
from nas.runs.retrain.retrain import retrain
from nas.runs.run import open_run
from nas.spec.recipe import Retrain
from nas.strategy.storage.store import Store
from nas.study.record import COMPLETE, PRUNED, Record
from nas.study.trials import Trials

LATER = dict.fromkeys(
    ("images_seen", "epoch_losses", "uncounted", "suppression_ms", "accuracy_sem")
)
RUNS = ROOT / "tests" / "support" / "before_the_move.tar.xz"


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the runs, which is where their backbone's module is found, too."""
    with tarfile.open(RUNS) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "runs_before_the_move"
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


ESTIMATED = {"loss_noise": None, "confirmed_loss": None}
"""What seeds do is told otherwise than it was."""


class Unheard:
    """A watcher that does nothing."""

    def stage(self, text: str) -> None:
        return None

    def step(self, done: int, total: int) -> None:
        return None

    def began(self, job: object) -> None:
        return None

    def progressed(self, job: object, report: object) -> None:
        return None

    def ended(self, job: object, found: object) -> None:
        return None

    def lost(self, job: object, reason: str) -> None:
        return None


def said(*words: str) -> str:
    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_was_shown_is_shown(earlier: Path) -> None:
    shown = json.loads(said("front", "finished", "--json"))
    for before, now in zip(json.loads((earlier / "front.json").read_text()), shown, strict=True):
        assert {name: now[name] for name in before} | ESTIMATED == before | ESTIMATED
    assert all(point["gain_low"] < point["gain"] < point["gain_high"] for point in shown[1:])
    assert {point["regime"] for point in shown} == {"finetune"}
    before = json.loads((earlier / "show.json").read_text())
    assert json.loads(said("show", "finished", "4", "--json")) == before | LATER
    open_run("finished").front().write_csv(earlier / "again.csv")
    names, *_ = (earlier / "again.csv").read_text().splitlines()
    assert names.startswith((earlier / "finished" / "front.csv").read_text().splitlines()[0])


def test_the_study_says_what_its_copy_does(earlier: Path) -> None:
    before = said("front", "finished", "--json")
    (earlier / "finished" / "trials.parquet").unlink()
    assert said("front", "finished", "--json") == before


def test_what_was_written_is_written(earlier: Path) -> None:
    columns = Trials.read(earlier / "finished" / "trials.parquet")
    assert columns is not None
    records = Store(earlier / "finished" / "study.journal", writable=False).records()
    again = Trials.of(records)
    rows = range(len(records))
    assert [columns.row(row) for row in rows] == [again.row(row) for row in rows]
    assert any(record.rungs for record in records)
    assert any(record.full_trainings for record in records)
    lines = map(json.loads, (earlier / "finished" / "study.journal").read_text().splitlines())
    written = [
        line["user_attr"]["record"] for line in lines if "record" in line.get("user_attr", ())
    ]
    assert len(written) > len(records)
    for row in written:
        assert Record.from_dict(row).to_dict() == row | LATER


@pytest.mark.parametrize(("name", "trials"), [("killed", 14), ("database", 12)])
def test_it_goes_on(earlier: Path, name: str, trials: int) -> None:
    before = open_run(name).trials()
    done = np.flatnonzero(before.complete)
    assert done.size
    resume(name, trials=trials)
    after = open_run(name).trials()
    assert set(after["state"]) <= {COMPLETE, PRUNED}
    assert len(set(after["digest"][after["repeat"] == 0])) == trials
    for column in ("digest", "seed", "loss", "accuracy", "latency_ms", "rungs"):
        assert (after[column][done] == before[column][done]).all(), column


def test_a_network_leaves(earlier: Path) -> None:
    run = open_run("finished")
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = run.network(4, "search")(images).numpy()
    export_trial(run, 4, "onnx", earlier / "winner.onnx", weights="search")
    session = onnxruntime.InferenceSession(earlier / "winner.onnx")
    (scores,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert np.allclose(scores, expected, atol=1e-4)


def test_full_trainings_are_kept_and_added_to(earlier: Path) -> None:
    before = open_run("finished").retrained()
    assert [item.seed for item in before] == [0, 1]
    section = Retrain(seeds=3, epochs=1, batch_size=64)
    retrain(plan_retraining(open_run("finished"), [4], section=section, workers=1), Unheard())
    after = open_run("finished").retrained()
    assert after[:2] == before and [item.seed for item in after] == [0, 1, 2]
    assert json.loads(said("front", "finished", "--json"))
