from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from nas.base.errors import ExportError, SpecError
from nas.export import TARGETS, Parity, export_pack, export_trial
from nas.export.target.target import WrittenGraph
from nas.export.winner import Winner
from nas.runs.run import open_run

pytestmark = pytest.mark.xdist_group("run")


def test_an_export_runs_without_this_project(finished_run: Path, tmp_path: Path) -> None:
    run = open_run(finished_run)
    path, parity = export_trial(run, 1, "onnx", tmp_path / "winner.onnx")
    assert parity.holds
    assert parity.images == 64
    session = onnxruntime.InferenceSession(str(path))
    for batch in (1, 5):
        images = np.random.default_rng(0).standard_normal((batch, 3, 32, 32), np.float32)
        scores = session.run(None, {"images": images})[0]
        expected = run.network(1)(torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_a_graph_that_disagrees_is_not_kept(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = TARGETS["onnx"]

    def wrong(winner: Winner) -> WrittenGraph:
        with torch.no_grad():
            next(winner.network.parameters()).add_(0.01)
        return target.write(winner)

    monkeypatch.setitem(TARGETS, "onnx", replace(target, write=wrong))
    with pytest.raises(ExportError, match="differs from the network by"):
        export_trial(open_run(finished_run), 0, "onnx", tmp_path / "winner.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_targets_trials_and_files_are_said(finished_run: Path, tmp_path: Path) -> None:
    run = open_run(finished_run)
    (tmp_path / "there.onnx").write_text("mine")
    for trial, target, out, said in (
        (0, "tflite", None, "unknown target 'tflite'; known: onnx"),
        (99, "onnx", None, "has no trial 99; it has 0 to"),
        (0, "onnx", tmp_path / "there.onnx", "exists"),
        (0, "onnx", tmp_path / "no" / "folder.onnx", "does not exist"),
    ):
        with pytest.raises(SpecError, match=said):
            export_trial(run, trial, target, out)
    assert (tmp_path / "there.onnx").read_text() == "mine"


def test_a_pack_of_a_trial_says_where_it_comes_from(finished_run: Path, tmp_path: Path) -> None:
    run = open_run(finished_run)
    pack = export_pack(run, 1, "onnx", tmp_path / "winner")
    origin = json.loads((pack.path / "report.json").read_text())["origin"]
    assert (origin["trial"], origin["data"], origin["proxy"]) == (1, "digits", "probe")
    assert origin["found"]["accuracy"] == run.row(1)["accuracy"]
    assert pack.network_accuracy == pytest.approx(run.row(1)["accuracy"], abs=0.01)


def test_wrong_packs_are_said(finished_run: Path, tmp_path: Path) -> None:
    run = open_run(finished_run)
    (tmp_path / "taken").mkdir()
    for trial, target, out, int8, said in (
        (0, "tflite", None, False, "unknown target 'tflite'; known: onnx, pt2"),
        (99, "onnx", None, False, "has no trial 99; it has 0 to"),
        (0, "onnx", tmp_path / "taken", False, "exists; name a new folder"),
        (0, "onnx", tmp_path / "no" / "folder", False, "does not exist; make it first"),
        (0, "ncnn", None, True, "ncnn has no int8 here: .*; these have: onnx, openvino"),
    ):
        with pytest.raises(SpecError, match=said) as caught:
            export_pack(run, trial, target, out, int8=int8)
        assert "\n" not in str(caught.value)
    assert not list((tmp_path / "taken").iterdir())


def test_parity_is_relative_to_the_scores() -> None:
    assert Parity(difference=4e-6, largest=0.5, images=1).holds
    assert not Parity(difference=9e-6, largest=0.5, images=1).holds
    assert Parity(difference=2e-5, largest=3.0, images=1).holds
    assert Parity(difference=0.0, largest=0.0, images=1).holds
