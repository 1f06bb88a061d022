"""What a run takes for the images that it was started with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support.samples import SMALL_SPACE

from nas.base.errors import SpecError
from nas.models.candidates import load_space
from nas.runs.check import check_new_run
from nas.runs.given_images import GivenImages
from nas.runs.given_network import GivenNetwork
from nas.runs.images import RunImages, decode_images, image_names, train_resolution
from nas.runs.run import Run, open_run
from nas.runs.run_file import RunFile
from nas.runs.start import _make_folder
from nas.spec.runner import Runner, load_runner
from nas.spec.space import SearchSpace


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    for level, name in enumerate("ab"):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = np.full((20, 30), 40 + 100 * level + number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.fixture
def started(photos: Path, tmp_path: Path) -> Callable[..., Run]:
    """A run folder as it is before the first training."""
    (tmp_path / "space.yaml").write_text(SMALL_SPACE)

    def start(*settings: str) -> Run:
        out = tmp_path / "run"
        given = GivenNetwork(load_space(tmp_path / "space.yaml"), load_runner(None, settings))
        source = f"folder:{photos}"
        new = check_new_run(given.space, given.runner, source, out)
        _make_folder(new, out, given, GivenImages(source))
        return open_run(out)

    return start


def as_of_before(run: Run) -> Run:
    """The same run as earlier versions wrote it: its images known by paths, sizes and times."""
    content = yaml.safe_load((run.path / "run.yaml").read_text())
    del content["image_rules"], content["resize"]
    (run.path / "run.yaml").write_text(yaml.safe_dump(content))
    before = open_run(run.path)
    about = run.environment()
    about["data"]["key"] = decode_images(before.space, before.file).name
    (run.path / "environment.json").write_text(json.dumps(about))
    return open_run(run.path)


def key(run: Run) -> str:
    name: str = run.environment()["data"]["key"]
    return name


def touch(photos: Path) -> None:
    for path in photos.rglob("*.png"):
        os.utime(path)


def unpack_again(photos: Path) -> None:
    shutil.copytree(photos, photos.with_name("copy"))
    shutil.rmtree(photos)
    photos.with_name("copy").rename(photos)


@pytest.mark.parametrize("happens", [touch, unpack_again])
@pytest.mark.parametrize("before", [False, True])
def test_the_same_images_are_the_same(
    started: Callable[..., Run], photos: Path, happens: Callable[[Path], None], before: bool
) -> None:
    run = as_of_before(started()) if before else started()
    happens(photos)
    assert run.images().are_in(run.images().find())


@pytest.mark.parametrize("before", [False, True])
def test_others_are_refused(started: Callable[..., Run], photos: Path, before: bool) -> None:
    run = as_of_before(started()) if before else started()
    (photos / "train" / "a" / "0.png").rename(photos / "train" / "b" / "9.png")
    with pytest.raises(SpecError, match="have changed since .* was started; put them back"):
        run.images().find()


def test_images_that_were_moved_are_found_where_the_run_says(
    started: Callable[..., Run], photos: Path
) -> None:
    run = started()
    photos.rename(photos.with_name("moved"))
    with pytest.raises(SpecError, match="no such folder.*; where it lies elsewhere now, say so"):
        run.images().find()
    file = run.path / "run.yaml"
    file.write_text(file.read_text().replace("photos", "moved"))
    assert open_run(run.path).images().find().name == key(run)


def test_a_run_of_before_reads_what_it_read(started: Callable[..., Run], photos: Path) -> None:
    run = as_of_before(started())
    Image.new("L", (8, 8)).save(photos / "train" / "a" / "new.jfif", "JPEG")
    assert run.images().find().name == key(run)
    today = RunFile.of(Runner(), f"folder:{photos}")
    assert key(run) not in image_names(run.space, today)


def test_a_name_of_before_is_known(started: Callable[..., Run]) -> None:
    run = started()
    assert key(run) in image_names(run.space, run.file)
    assert key(as_of_before(run)) in image_names(run.space, run.file)


def test_a_folder_for_validation_is_kept_and_watched(
    started: Callable[..., Run], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(photos / "train", tmp_path / "held")
    monkeypatch.chdir(tmp_path)
    run = started("validation=held")
    assert run.file.validation == str(tmp_path / "held")
    monkeypatch.chdir("/")
    run.images().find()
    (tmp_path / "held" / "a" / "0.png").unlink()
    with pytest.raises(SpecError, match="have changed since"):
        run.images().find()


def test_what_is_left_out_is_told(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "a" / "x.heic").write_bytes(b"")
    (tmp_path / "space.yaml").write_text(SMALL_SPACE)
    new = check_new_run(tmp_path / "space.yaml", None, f"folder:{photos}", tmp_path / "run")
    assert [note for note in new.notes if "1 .heic" in note]


def test_the_smallest_of_several_sizes_is_offered() -> None:
    values = yaml.safe_load(SMALL_SPACE) | {"resolutions": ["40x40", "32x48", "16x90"]}
    several = SearchSpace.model_validate(values)
    with pytest.raises(SpecError, match="has resolutions .*--set proxy.resolution=16x90$"):
        train_resolution(several, Runner())
    assert train_resolution(several, load_runner(None, ("proxy.resolution=48x24",))) == "48x24"


def test_what_is_decoded_opens_without_the_source(
    started: Callable[..., Run], photos: Path, tmp_path: Path
) -> None:
    run = started()
    larger = decode_images(run.space, run.file, 40)
    assert run.images().open_decoded().resolution == 32
    assert run.images().open_decoded(40).classes == ("a", "b")
    with pytest.raises(SpecError, match="not decoded on this machine"):
        run.images().open_decoded(48)
    shutil.rmtree(photos)
    assert len(run.images().open_decoded().validation) > 0
    shutil.copytree(larger, tmp_path / "elsewhere")
    for name in ("../../elsewhere", str(tmp_path / "elsewhere"), "gone", "", ".."):
        with pytest.raises(SpecError, match="not decoded on this machine"):
            RunImages(run.path, run.space, run.file, name).open_decoded()
