"""Going on with a calibration: what counts is what images and weights hold, wherever they lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.backbones import plain_network
from nas.base.errors import SpecError
from nas.runs.calibrate import network_sample
from nas.runs.calibrate.calibrate import calibrate
from nas.runs.check import check_new_run
from nas.runs.given_images import GivenImages
from nas.runs.given_network import GivenNetwork
from nas.runs.run import Run, open_run
from nas.runs.start import _make_folder, search
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.study.calibration import Calibration
from nas.training.checkpoint import save_weights

ASKED: dict[str, Any] = {"networks": 8, "seeds": 2, "full_epochs": 0.1}
QUICK = "workers=2", "proxy.unit=steps", "proxy.rungs=[2]"


class Paths:
    """The images of a calibration and the weights that it starts from."""

    def __init__(self, root: Path) -> None:
        self.photos, self.weights = root / "photos", root / "own.safetensors"
        for level, name in enumerate("ab"):
            folder = self.photos / "train" / name
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = np.full((20, 30), 40 + 100 * level + number, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
        save_weights(self.weights, plain_network("mobilenetv2_035", num_classes=2).state_dict())

    def calibrate(self, space: Path, out: Path) -> Calibration:
        runner = load_runner(None, (*QUICK, f"proxy.backbone.weights={self.weights}"))
        return calibrate(space, runner, f"folder:{self.photos}", out, **ASKED)

    def touch(self) -> None:
        for path in (*self.photos.rglob("*.png"), self.weights):
            os.utime(path)

    def move(self) -> None:
        for name in ("photos", "weights"):
            before: Path = getattr(self, name)
            after = before.with_name(f"moved-{before.name}")
            shutil.copytree(before, after) if before.is_dir() else shutil.copyfile(before, after)
            shutil.rmtree(before) if before.is_dir() else before.unlink()
            setattr(self, name, after)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Paths(tmp_path)


@pytest.fixture
def begun(paths: Paths, small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A calibration that was stopped before its first training; to go on with it fails."""

    def stopped(space: SearchSpace, runner: Any, data: str, out: Path, **_: object) -> Run:
        new = check_new_run(space, runner, data, out)
        _make_folder(new, out, GivenNetwork(space, runner), GivenImages(data))
        raise KeyboardInterrupt

    monkeypatch.setattr(network_sample, "search", stopped)
    monkeypatch.setattr(network_sample, "resume", lambda *_, **__: pytest.fail("goes on"))
    with pytest.raises(KeyboardInterrupt):
        paths.calibrate(small_space, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("happens", [lambda _: None, Paths.touch, Paths.move])
def test_the_same_images_and_weights_go_on(
    paths: Paths, small_space: Path, begun: Path, happens: Callable[[Paths], None]
) -> None:
    happens(paths)
    with pytest.raises(pytest.fail.Exception, match="goes on"):
        paths.calibrate(small_space, begun)
    file = open_run(begun / "full").file
    assert file.data == f"folder:{paths.photos}"
    assert file.proxy.backbone.weights == str(paths.weights)


def other_images(paths: Paths) -> None:
    first = paths.photos / "train" / "a" / "0.png"
    first.rename(paths.photos / "train" / "b" / "99.png")


def other_weights(paths: Paths) -> None:
    network = plain_network("mobilenetv2_035", num_classes=2, seed=1)
    save_weights(paths.weights, network.state_dict())


@pytest.mark.parametrize("changes", [other_images, other_weights])
def test_others_elsewhere_are_another_calibration(
    paths: Paths, small_space: Path, begun: Path, changes: Callable[[Paths], None]
) -> None:
    paths.move()
    changes(paths)
    before = (begun / "full" / "run.yaml").read_bytes()
    with pytest.raises(SpecError, match="or of other data; name another folder"):
        paths.calibrate(small_space, begun)
    assert (begun / "full" / "run.yaml").read_bytes() == before


def test_beside_given_weights_full_training_starts_from_them(
    paths: Paths, small_space: Path, begun: Path
) -> None:
    proxy = open_run(begun / "full").file.proxy
    assert (proxy.kind, proxy.backbone.epochs) == ("finetune", 0)
    runner = load_runner(None, (f"proxy.backbone.weights={paths.weights}",))
    with pytest.raises(SpecError, match="--full-weights random beside weights"):
        calibrate(small_space, runner, out="other", full_weights="random", **ASKED)


@pytest.mark.slow
def test_a_search_goes_on_from_images_and_weights_elsewhere(
    paths: Paths, small_space: Path, tmp_path: Path
) -> None:
    found = paths.calibrate(small_space, tmp_path / "out")
    assert found.data == "folder:photos"
    trained = open_run(tmp_path / "out" / "full").trials()
    paths.move()
    found = found.model_copy(update={"data": "folder:moved-photos"})
    again = paths.calibrate(small_space, tmp_path / "out")
    assert again.model_dump_json() == found.model_dump_json()
    assert again.judging == "other images"
    assert open_run(tmp_path / "out" / "full").trials()["loss"].tolist() == trained["loss"].tolist()
    paths.move()
    given = f"proxy.backbone.weights={paths.weights}"
    runner = load_runner(None, (*QUICK, given, "search.trials=9"))
    run = search(
        small_space, runner, f"folder:{paths.photos}", tmp_path / "run",
        calibration=tmp_path / "out",
    )  # fmt: skip
    assert run.calibration() is not None
    theirs = open_run(tmp_path / "out" / "proxy").trials()["loss"].tolist()
    assert run.trials()["loss"][: len(theirs)].tolist() == theirs
