"""Images that are not square, from a space file to a pack that checks itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.cli import main
from nas.data import load_data
from nas.export.target import TARGETS
from nas.runs.run import Run, open_run
from nas.runs.start import search
from nas.spec.runner import load_runner

TALL = Size(32, 24)

pytestmark = pytest.mark.xdist_group("image sizes")

NETWORK = """
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand = nn.Conv2d(8, 16, 1)
        self.filter = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.project = nn.Conv2d(16, 8, 1)

    def forward(self, x):
        return x + self.project(self.filter(self.expand(x)))


def make(num_classes):
    # The last layer takes maps of 16x12 alone: of images that are 32 high and 24 wide.
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), Block(), Block(),
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8 * 4 * 3, num_classes),
    )
"""

SPACE = {
    "name": "tall",
    "backbones": ["tall_network:make"],
    "resolutions": ["32x24"],
    "blocks": {"coord": {"reduction": [4]}, "fca": {"reduction": [4]}},
}

SETTINGS = (
    "workers=1",
    "search.trials=3",
    "search.confirm_seeds=1",
    "proxy.kind=scratch",
    "proxy.rungs=[2]",
    "retrain.epochs=1",
    "retrain.seeds=1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tall")


@pytest.fixture(autouse=True)
def network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by this process and by those that it starts."""
    (folder / "tall_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{Path(__file__).parents[1]}")


@pytest.fixture
def run(folder: Path) -> Run:
    """A search of three networks, carried out by the first test that asks for it."""
    if not (folder / "run").exists():
        (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
        search(folder / "space.yaml", load_runner(None, SETTINGS), "digits", folder / "run")
    return open_run(folder / "run")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_search_trains_and_measures_networks_of_a_shape(run: Run) -> None:
    front = run.front()
    points = [*front.points]
    assert len(points) >= 3 and all(point.latency_ms > 0 for point in points)
    assert {point.architecture.resolution for point in points} == {"32x24"}
    assert run.dataset().size == TALL
    assert yaml.safe_load((run.path / "space.yaml").read_text())["resolutions"] == ["32x24"]
    # As much as the blocks and layers add up to, of maps of 16x12.
    plain = next(point for point in points if point.reference == "plain")
    layers = 27 * 8 + 2 * (8 * 16 + 9 * 16 + 16 * 8)
    assert plain.macs == pytest.approx(layers * 16 * 12 + 8 * 4 * 3 * 10, rel=0.05)


def test_it_is_shown_reported_and_filtered(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "show", run.path, 1) == 0
    assert "tall_network:make at 32x24" in capsys.readouterr().out
    assert call(monkeypatch, "front", run.path, "--where", "height == 32 and width == 24") == 0
    assert "plain backbone" in capsys.readouterr().out
    assert call(monkeypatch, "report", run.path, "--out", folder / "page.html") == 0
    page = (folder / "page.html").read_text()
    assert "at 32x24 pixels" in page and '"resolution": "32x24"' in page


@pytest.mark.slow
def test_the_winner_is_trained_fully_and_exported(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, "retrain", run.path, "--trial", 1) == 0
    (training,) = [item for item in open_run(run.path).retrained() if item.trial == 1]
    assert training.complete and training.resolution == "32x24"
    pack = folder / "pack"
    assert call(monkeypatch, "export", run.path, 1, "--weights", "retrained", "--to", "onnx",
                "--out", pack) == 0  # fmt: skip
    with np.load(pack / "samples.npz") as samples:
        assert samples["images"].shape[1:] == (32, 24, 3)
        data = load_data("digits", "32x24", validation=0.2, seed=0)
        assert samples["images"][0].tolist() in data.validation.images.tolist()
    assert json.loads((pack / "preprocessing.json").read_text())["size"] == [32, 24]
    assert json.loads((pack / "architecture.json").read_text())["resolution"] == "32x24"
    assert "images of 32x24 pixels (height x width)" in (pack / "README.md").read_text()
    assert "Reads images (N, 3, 32, 24)" in (pack / "model.py").read_text()
    for option in ((), ("--model",)):
        checked = subprocess.run(
            [sys.executable, pack / "verify.py", *option], capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("target", ["openvino", "ncnn", "timm", "pt2", "torchscript"])
def test_every_target_takes_the_shape(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    try:
        TARGETS[target].check_installed()
    except SpecError as error:
        pytest.skip(str(error))
    pack = folder / target
    assert call(monkeypatch, "export", run.path, 2, "--to", target, "--out", pack) == 0
    checked = subprocess.run([sys.executable, pack / "verify.py"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
