"""A search that starts from the user's own trained network."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.samples import QUICK, SMALL_SPACE
from timm.models import save_for_hf

from nas.backbones import plain_network
from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.execution.observer import SilentObserver
from nas.models.candidates import Candidates, load_space
from nas.runs.given_weights import match_given_weights, settle_weights
from nas.runs.resume import resume
from nas.runs.run import Run, open_run
from nas.runs.run_file import RunFile
from nas.runs.start import search
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.training.checkpoint import checkpoint_path, load_weights, save_weights

BACKBONE = "mobilenetv2_035"


def plains(space: Path) -> list[Architecture]:
    return [plain for plain, _ in Candidates(load_space(space)).plains()]


def file_of(*overrides: str) -> RunFile:
    return RunFile.of(load_runner(None, overrides), "digits")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    save_weights(path, plain_network(BACKBONE, num_classes=10).state_dict())
    return path


class Listener(SilentObserver):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def stage(self, text: str) -> None:
        self.heard.append(text)


def plain_row(run: Run) -> dict[str, Any]:
    trials = run.read().trials
    return next(row for row in map(trials.row, range(len(trials))) if row["reference"] == PLAIN)


@pytest.mark.xdist_group("run")
def test_the_network_is_taken_as_it_stands(finished_run: Path, tmp_path: Path) -> None:
    before = open_run(finished_run)
    images = before.dataset()
    there = plain_row(before)
    plain = Architecture.from_json(there["architecture"]).plain
    tensors = load_weights(checkpoint_path(before.checkpoints, plain.digest))
    own = tmp_path / "own.pth"
    torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in tensors.items()}}, own)
    channels = {name: [value / 255 for value in getattr(images, name)] for name in ("mean", "std")}
    settings = (
        *(text for text in QUICK if "backbone" not in text),
        f"proxy.backbone.weights={json.dumps(str(own))}",
        f"normalisation={json.dumps(channels)}",
        "search.trials=1",
        "workers=1",
    )
    listener = Listener()
    runner = load_runner(None, settings)
    run = search(before.space, runner, "digits", tmp_path / "run", observer=listener)
    # A probe trains nothing of the plain network: it is the one that was given.
    assert plain_row(run)["loss"] == pytest.approx(there["loss"], abs=1e-4)
    assert any("'module.' before the names" in line for line in listener.heard)
    assert any("under 'model' are taken" in line for line in listener.heard)
    assert any("reading the weights of the plain" in line for line in listener.heard)
    # What the run stands on is in its folder; the file may go.
    own.unlink()
    assert len(run.read().trials) >= 4


def test_a_run_writes_down_which_weights_and_which_normalisation(
    small_space: Path, weights: Path
) -> None:
    file = file_of(f"proxy.backbone.weights={weights}")
    assert file.regime == "finetune" and file.proxy.backbone.epochs == 0
    settled, (note,) = settle_weights(file, plains(small_space))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert settled.proxy.backbone.digest == digest
    assert settled.normalisation is not None
    assert settled.normalisation.mean == pytest.approx([0.485, 0.456, 0.406])
    assert "as the configuration of mobilenetv2_035 says" in note
    # Settled once, it stays.
    assert settle_weights(settled, plains(small_space)) == (settled, [])


def test_what_lies_beside_the_weights_says_how_images_are_normalised(
    small_space: Path, weights: Path
) -> None:
    beside = weights.parent / "preprocessing.json"
    beside.write_text(json.dumps({"mean": [51, 102, 153], "std": [51, 51, 51]}))
    file = file_of(f"proxy.backbone.weights={weights}")
    settled, _ = settle_weights(file, plains(small_space))
    assert settled.normalisation is not None
    assert settled.normalisation.mean == pytest.approx([0.2, 0.4, 0.6])
    beside.write_text("{}")
    with pytest.raises(SpecError, match="found no mean and std"):
        settle_weights(file, plains(small_space))


def test_without_trained_weights_nothing_is_settled(small_space: Path) -> None:
    file = file_of("proxy.kind=probe")
    assert settle_weights(file, plains(small_space)) == (file, [])


def test_a_file_that_has_changed_is_refused(small_space: Path, weights: Path) -> None:
    settled, _ = settle_weights(file_of(f"proxy.backbone.weights={weights}"), plains(small_space))
    save_weights(weights, plain_network(BACKBONE, num_classes=10, seed=1).state_dict())
    with pytest.raises(SpecError, match="have changed"):
        settle_weights(settled, plains(small_space))


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (("proxy.backbone.weights=pretraind",), "no such file; allowed: a .safetensors file or"),
        (("proxy.backbone.weights=.",), "a folder; allowed"),
    ],
)
def test_weights_that_are_not_there_are_one_line(
    small_space: Path, overrides: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(SpecError, match=fault):
        settle_weights(file_of(*overrides), plains(small_space))


def test_one_file_is_of_one_backbone(tmp_path: Path, weights: Path) -> None:
    space = tmp_path / "two.yaml"
    space.write_text(SMALL_SPACE.replace("[mobilenetv2_035]", "[mobilenetv2_035, mobilenetv2_050]"))
    with pytest.raises(SpecError, match="of one network, and the space has mobilenetv2_035, mob"):
        settle_weights(file_of(f"proxy.backbone.weights={weights}"), plains(space))


def test_a_new_head_wants_a_training(small_space: Path, weights: Path) -> None:
    settled, _ = settle_weights(file_of(f"proxy.backbone.weights={weights}"), plains(small_space))
    assert match_given_weights(settled, plains(small_space), Task(outputs=10)) == []
    (note,) = match_given_weights(settled, plains(small_space), Task(outputs=7))
    assert "of 10 classes, the images of 7" in note
    probe = settled.proxy.model_copy(update={"kind": "probe"})
    with pytest.raises(SpecError, match=r"train a new head first, .* proxy.backbone.epochs=2"):
        match_given_weights(
            settled.model_copy(update={"proxy": probe}), plains(small_space), Task(outputs=7)
        )


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (("regime=scratch", "proxy.backbone.weights=w.pth"), "regime scratch with proxy.backbone"),
        (("proxy.backbone.match=order",), "is for a file of weights"),
        (("proxy.backbone.epochs=0",), "would keep random weights"),
        (
            ("proxy.backbone.weights=w.pth", "normalisation={mean: [0.5], std: [1, 1, 1]}"),
            "normalisation.mean",
        ),
        (
            ("proxy.backbone.weights=w.pth", "normalisation={mean: [0, 0, 0], std: [1, 0, 1]}"),
            "normalisation.std",
        ),
    ],
)
def test_settings_that_contradict_are_refused(overrides: tuple[str, ...], fault: str) -> None:
    with pytest.raises(SpecError, match=fault):
        load_runner(None, overrides)


def test_given_weights_are_trained_on_when_that_is_asked_for() -> None:
    runner = load_runner(None, ("proxy.backbone.weights=w.pth", "proxy.backbone.epochs=2"))
    assert runner.proxy.backbone.epochs == 2 and runner.proxy.kind == "finetune"
    probe = load_runner(None, ("proxy.backbone.weights=w.pth", "proxy.kind=probe"))
    assert probe.regime == "finetune" and probe.proxy.kind == "probe"


@pytest.mark.slow
@pytest.mark.xdist_group("run")
def test_what_emptying_filled_slots_costs_is_said_once_before_the_search(tmp_path: Path) -> None:
    space = parse(SearchSpace, read_yaml(SMALL_SPACE, "space"), "space")
    space = space.model_copy(update={"backbones": ["mnasnet_small"]})
    runner = load_runner(None, (*QUICK, "search.trials=1", "search.confirm_seeds=1"))
    listener = Listener()
    run = search(space, runner, "digits", tmp_path / "run", observer=listener)
    said = [line for line in listener.heard if "filled slots emptied" in line]
    assert len(said) == 1 and re.search(r"its \d+ filled slots emptied: validation loss", said[0])
    before = listener.heard[listener.heard.index(said[0]) - 1]
    assert before.startswith("plain mnasnet_small: validation loss")
    after = listener.heard[listener.heard.index(said[0]) + 1]
    assert re.search(r"start as what a slot holds, if as wide: se in (\d+) of \1$", after)
    listener = Listener()
    resume(run.path, observer=listener)
    assert not any("emptied" in line for line in listener.heard)


def test_a_folder_of_timm_is_taken_with_its_normalisation(tmp_path: Path) -> None:
    network = timm.create_model(BACKBONE, num_classes=10)
    network.pretrained_cfg["mean"] = (0.1, 0.2, 0.3)
    save_for_hf(network, str(tmp_path / "kept"), safe_serialization=True)
    given = file_of("regime=finetune", f"proxy.backbone.weights=local-dir:{tmp_path}/kept")
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    settled, notes = settle_weights(given, plains(space))
    assert settled.proxy.backbone.file == tmp_path / "kept" / "model.safetensors"
    assert settled.proxy.backbone.epochs == 0 and settled.proxy.backbone.digest
    assert settled.normalisation is not None and settled.normalisation.mean == [0.1, 0.2, 0.3]
    assert "config.json says" in notes[0]
    assert match_given_weights(settled, plains(space), Task(outputs=10)) == []
    # Read again, as a resumed run is.
    assert RunFile(**settled.model_dump(exclude_unset=True)) == settled
    space.write_text(SMALL_SPACE.replace(BACKBONE, "mobilenetv3_small_050"))
    with pytest.raises(SpecError, match=f"are of {BACKBONE}.*--backbone {BACKBONE}"):
        settle_weights(given, plains(space))


def test_a_tag_whose_weights_are_not_taken_is_said(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE.replace(BACKBONE, "mobilenetv2_050.lamb_in1k"))
    _, notes = settle_weights(file_of(), plains(space))
    assert len(notes) == 1 and "that mobilenetv2_050.lamb_in1k names are not taken" in notes[0]
