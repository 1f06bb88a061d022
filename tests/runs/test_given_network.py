"""Searches from a network in memory, of a class that nothing can import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import nas
from nas.base.errors import SpecError
from nas.export import export_pack
from nas.report.rerun_command import rerun_command
from nas.runs.retrain.plan import plan_retraining
from nas.runs.retrain.retrain import retrain
from nas.spec.runner import load_runner

pytestmark = pytest.mark.xdist_group("run")

IMAGES = """
import numpy as np


def load():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pixels = rng.integers(0, 150, (90, 16, 16, 3))
    pixels[np.arange(90), :, :, labels] += 60
    return pixels.astype(np.uint8), labels
"""
SPACE = """
name: own
backbones: [mobilenetv2_050]
resolutions: [16]
sites: {position: after_depthwise}
blocks: {se: {reduction: [4]}, eca: {}}
"""
SETTINGS = (
    "proxy.unit=steps",
    "proxy.rungs=[3]",
    "proxy.batch_size=16",
    "search.trials=4",
    "search.confirm_seeds=1",
    "retrain.epochs=1",
)


def network(classes: int = 3, seed: int = 0) -> nn.Module:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8))
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1))
                for _ in range(2)
            )
            self.act = lambda x: x.relu()
            self.head = nn.Linear(8, classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.act(self.stem(x))
            for block in self.blocks:
                x = x + block(x)
            return self.head(x.mean((2, 3)))

    torch.manual_seed(seed)
    return Local()


class Heard:
    """An observer that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, text: str) -> None:
        self.said.append(text)

    def step(self, done: int, total: int) -> None: ...

    def started(self, job: object) -> None: ...

    def finished(self, record: object) -> None: ...

    def lost(self, job: object, reason: str) -> None: ...

    def tick(self, search: object) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given network")
    (folder / "images.py").write_text(IMAGES)
    (folder / "space.yaml").write_text(SPACE)
    return folder


@pytest.fixture(scope="module")
def searched(folder: Path) -> tuple[nas.Run, list[str]]:
    heard, threads = Heard(), torch.get_num_threads()
    run = nas.search(
        folder / "space.yaml",
        load_runner(None, SETTINGS),
        f"{folder}/images.py:load",
        folder / "run",
        backbone=network(),
        observer=heard,
    )
    assert torch.get_num_threads() == threads
    return run, heard.said


def test_it_is_searched_from_its_own_weights(searched: tuple[nas.Run, list[str]]) -> None:
    run, said = searched
    name = run.space.backbones[0]
    assert name.startswith("object:Local-") and run.in_process
    assert run.file.regime == "finetune" and run.file.proxy.backbone.epochs == 0
    assert any(text.startswith(f"plain {name}: validation loss") for text in said)
    given = load_file(run.path / "given.safetensors")
    assert run.file.proxy.backbone.file == run.path.resolve() / "given.safetensors"
    own = network().state_dict()
    assert given.keys() == own.keys()
    assert all(torch.equal(given[key], own[key]) for key in own)
    front = run.front()
    assert {point.reference for point in front.references} == {"plain", "se/r24", "eca"}
    images = torch.zeros(1, 3, 16, 16)
    assert run.network(1)(images).shape == (1, 3)
    assert nas.build(front.points[0].architecture)(images).shape == (1, 3)


def test_the_same_search_finds_the_same(searched: tuple[nas.Run, list[str]], folder: Path) -> None:
    again = nas.search(
        folder / "space.yaml",
        load_runner(None, SETTINGS),
        f"{folder}/images.py:load",
        folder / "again",
        backbone=network(),
    )
    first, second = (run.trials() for run in (searched[0], again))
    assert first["architecture"].tolist() == second["architecture"].tolist()
    assert first["loss"].tolist() == second["loss"].tolist()


def test_it_goes_on_with_the_same_network_and_trains_it_fully_here(
    searched: tuple[nas.Run, list[str]],
) -> None:
    run, _ = searched
    with pytest.raises(SpecError, match="its weights differ; load those of .*given.safetensors"):
        nas.resume(run.path, trials=5, backbone=network(seed=1))
    with pytest.raises(SpecError, match="workers 2: a network that is given in memory"):
        nas.resume(run.path, workers=2)
    with pytest.raises(SpecError, match="given.safetensors|structure differs"):
        nas.open_run(run.path, backbone=network(classes=4))
    longer = nas.resume(run.path, trials=5, full_trainings=3, backbone=network())
    assert len(longer.trials()) >= 5
    full = longer.retrained()
    assert len(full) == 3 and all(training.complete for training in full)
    assert plan_retraining(longer, trials=[0], workers=4).workers == 1


class Silent:
    """A watcher of trainings that hears nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


def test_it_is_shipped_and_trained_fully_from_python(
    searched: tuple[nas.Run, list[str]], folder: Path
) -> None:
    """In a process that has to be given it again, where commands say what they need."""
    run = nas.open_run(searched[0].path, backbone=network())
    pack = export_pack(run, 1, "onnx", folder / "shipped")
    assert pack.recorded_accuracy == pytest.approx(pack.network_accuracy)
    command = [sys.executable, str(folder / "shipped" / "verify.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder / "shipped")
    assert done.returncode == 0 and "network.onnx: ok" in done.stdout
    section = run.file.retrain.model_copy(update={"seeds": 1})
    (training,) = retrain(plan_retraining(run, [1], section=section), Silent())
    assert training.complete


@pytest.mark.slow
def test_another_process_reads_the_front_and_says_what_the_rest_needs(
    searched: tuple[nas.Run, list[str]], folder: Path
) -> None:
    run, _ = searched

    def nas_says(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nas", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder)

    assert nas_says("front", run.path).returncode == 0
    assert nas_says("report", run.path, "--out", folder / "report.html").returncode == 0
    before = (run.path / "run.yaml").read_text()
    for words in (
        ("export", run.path, 1, "--to", "onnx", "--out", folder / "pack"),
        ("resume", run.path, "--trials", 9),
        ("retrain", run.path, "--trial", 1),
    ):
        done = nas_says(*words)
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert "was given in memory" in line and "backbone=network)" in line
        assert "nas.export.export_pack" in line
    assert (run.path / "run.yaml").read_text() == before
    assert not (folder / "pack").exists()


def test_the_search_again_is_a_call(searched: tuple[nas.Run, list[str]]) -> None:
    call = rerun_command(searched[0])
    assert call.startswith("nas.search(") and call.endswith("backbone=network)")
    assert "proxy.rungs=[3.0]" in call and "given.safetensors" not in call


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("workers=2",), "workers 2: a network that is given in memory is trained in this process"),
        (
            ("executor=worker",),
            "executor worker: .* name what makes it, module:name .*backbone_arg",
        ),
        (("regime=scratch",), "regime scratch: a network that is given is a trained one"),
        (
            ("regime=finetune", "proxy.backbone.weights=pretrained"),
            "the network that is given brings its own",
        ),
    ],
)
def test_a_runner_that_does_not_fit_is_refused(
    folder: Path, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        nas.search(
            folder / "space.yaml",
            load_runner(None, settings),
            f"{folder}/images.py:load",
            folder / "refused",
            backbone=network(),
        )
    assert not (folder / "refused").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "head", "figure"),
    [("segmentation", "deeplabv3", "miou"), ("retrieval", "embedding", "rank1")],
)
def test_it_is_searched_for_other_tasks(
    folder: Path, task: str, head: str, figure: str, tmp_path: Path
) -> None:
    settings = (*SETTINGS, f"task={task}", f"head={head}", "proxy.subset=200", "search.trials=1")
    given = network()
    run = nas.search(
        folder / "space.yaml", load_runner(None, settings), out=tmp_path / "run", backbone=given
    )
    assert all(0 <= point[figure] <= 1 for point in json.loads(run.front().to_json()))
    plain = run.network(0)
    own, searched = given.state_dict(), plain.backbone.state_dict()
    trained_on = {
        name for name in searched if name in own and own[name].shape == searched[name].shape
    }
    assert {"stem.0.weight", "blocks.1.1.weight"} <= trained_on
    if task == "retrieval":
        assert searched["head.weight"].shape == (512, 8)
    had = len(run.trials())
    assert len(nas.resume(run.path, trials=4, backbone=given).trials()) > had
    opened = nas.open_run(run.path, backbone=given)
    assert export_pack(opened, 0, "onnx", tmp_path / "pack").network_figures[figure] >= 0


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (nn.Linear, "found the class Linear; allowed: a name"),
        (3, "found 3; allowed: a name"),
        ("nobody", "unknown backbone 'nobody'"),
        (network(classes=5), "tensor 2x5 for 2 images and 3 classes; allowed: one score for each"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)), "has no site"),
    ],
)
def test_what_is_no_backbone_is_one_line(folder: Path, backbone: object, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        nas.search(
            folder / "space.yaml",
            load_runner(None, SETTINGS),
            f"{folder}/images.py:load",
            folder / "refused",
            backbone=backbone,  # type: ignore[arg-type]
        )
    assert "\n" not in str(caught.value)
    assert not (folder / "refused").exists()
