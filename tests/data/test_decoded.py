"""What is in memory, and what is kept on disk and mapped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.base.errors import SpecError, StorageError
from nas.base.size import Resolution, Size
from nas.data import (
    Reading,
    cached_data,
    data_names,
    load_data,
    open_data,
    open_test,
    same_images,
)
from nas.data.dataset import shared_images
from nas.data.reading import Resize, Rules

MakeFolder = Callable[..., Path]


def cached(root: Path, *, resolution: Resolution = 16, seed: int = 0) -> Path:
    return cached_data(f"folder:{root}", resolution, validation=0.2, seed=seed)


def test_the_cache_maps_the_same_images(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})
    mapped = open_data(cached(root))
    loaded = load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    for one, other in ((loaded.train, mapped.train), (loaded.validation, mapped.validation)):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    assert (loaded.classes, loaded.mean, loaded.std) == (mapped.classes, mapped.mean, mapped.std)
    assert (loaded.mirror, loaded.source) == (mapped.mirror, mapped.source)


def test_validation_images_that_are_learnt_from_are_said_each_time(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5, "val": 4})
    for seed, path in enumerate(sorted(root.rglob("*.png"))):
        noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    shutil.copy(root / "train" / "a" / "1.png", root / "val" / "a" / "1.png")
    shutil.copy(root / "train" / "b" / "2.png", root / "val" / "b" / "other.png")
    for _ in range(2):
        notes: list[str] = []
        cached_data(f"folder:{root}", 16, validation=0.2, seed=0, note=notes.append)
        (said,) = [note for note in notes if "to the last pixel" in note]
        assert said.startswith("2 of 9 validation images are training images, too")


def test_shared_images_are_counted_where_all_have_a_row_in_common() -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 6, 5, 3), dtype=np.uint8)
    images[:, 3] = 255
    held = np.concatenate([images[:3], images[:1], images[12:]])
    assert shared_images(images[:10], held) == 4
    assert shared_images(images[:10], images[10:]) == 0


def test_images_that_are_not_square_are_kept_apart_from_others(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})
    folders = {cached(root, resolution=size) for size in (16, "16x12", "12x16")}
    assert len(folders) == 3
    assert cached(root, resolution="16x16") == cached(root)
    tall = open_data(cached(root, resolution="16x12"))
    assert (tall.size, tall.resolution) == (Size(16, 12), "16x12")
    loaded = load_data(f"folder:{root}", "16x12", validation=0.2, seed=0)
    assert tall.train.images.shape[1:] == (16, 12, 3)
    assert torch.equal(tall.validation.images, loaded.validation.images)
    with pytest.raises(SpecError, match="size '16x'; allowed: whole pixels, or height x width"):
        cached(root, resolution="16x")


def test_another_folder_is_named_when_anything_changes(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})
    image = root / "train" / "a" / "0.png"
    seen = {cached(root), cached(root, resolution=8), cached(root, seed=1)}
    assert len(seen) == 3

    def changed() -> None:
        found = cached(root)
        assert found not in seen
        seen.add(found)

    Image.new("RGB", (20, 20)).save(image)
    changed()
    image.rename(image.with_name("renamed.png"))
    changed()
    image.with_name("renamed.png").unlink()
    changed()
    shutil.copytree(root / "train", root / "val")
    changed()
    assert len(open_data(cached(root)).train) == 9


def test_the_same_images_have_the_same_name_wherever_they_lie(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(parts={"train": 5, "test": 2})
    name, test = cached(root).name, open_test(f"folder:{root}", 16)
    for path in root.rglob("*.png"):
        os.utime(path)
    assert cached(root).name == name
    shutil.copytree(root, tmp_path / "fresh")
    shutil.rmtree(root)
    assert cached(tmp_path / "fresh").name == name
    assert torch.equal(open_test(f"folder:{tmp_path / 'fresh'}", 16).images, test.images)


def test_by_the_rules_of_before_places_and_times_count(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})
    (root / "train" / "a" / "new.jfif").write_bytes(b"of no suffix that counted")

    def before() -> Path:
        return cached_data(f"folder:{root}", 16, validation=0.2, seed=0, reading=Reading(rules=1))

    first = before()
    os.utime(root / "train" / "a" / "0.png")
    second = before()
    assert first != second and same_images(first, second)
    assert len(open_data(second).train) == 8
    shutil.rmtree(second)
    assert not same_images(first, second)
    Image.new("RGB", (20, 20)).save(root / "train" / "a" / "0.png")
    assert not same_images(first, before())


def test_names_by_the_rules_of_before_are_of_the_same_images_alone(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})

    def names() -> dict[Rules, str]:
        return data_names(f"folder:{root}", 16, validation=0.2, seed=0)

    def name(rules: Rules) -> str:
        reading = Reading(rules=rules)
        source = f"folder:{root}"
        return cached_data(source, 16, validation=0.2, seed=0, reading=reading).name

    assert names() == {1: name(1), 2: name(2)}
    (root / "train" / "a" / "0.png").rename(root / "train" / "a" / "0.jfif")
    assert names() == {2: name(2)}
    digits = data_names("digits", 8, validation=0.2, seed=0)
    assert digits[1] == digits[2]


def test_images_are_normalised_as_asked_and_kept_apart_from_others() -> None:
    levels = ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    usual, other = (
        cached_data("digits", 8, validation=0.2, seed=0, reading=Reading(normalisation=given))
        for given in (None, levels)
    )
    assert usual != other and same_images(usual, other)
    assert (open_data(other).mean, open_data(other).std) == levels
    assert open_data(usual).mean != levels[0]


def test_what_is_read_otherwise_has_another_name(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(parts={"train": 5, "val": 2})
    held = make_folder("other", parts={"val": 2}) / "val"

    def name(validation: float | str = 0.2, resize: Resize = "crop") -> str:
        source, reading = f"folder:{root}", Reading(resize)
        return cached_data(source, 16, validation=validation, seed=0, reading=reading).name

    names = {name(), name(resize="stretch"), name(resize="pad"), name(str(held))}
    assert len(names) == 4
    shutil.copytree(held, tmp_path / "moved")
    assert name(str(tmp_path / "moved")) in names
    (held / "a" / "0.png").unlink()
    assert name(str(held)) not in names


def test_images_that_did_not_change_are_decoded_once(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})
    first = cached(root)
    written = (first / "train_images.npy").stat().st_mtime_ns
    told: list[tuple[int, int]] = []
    again = cached_data(
        f"folder:{root}", 16, validation=0.2, seed=0, progress=lambda *at: told.append(at)
    )
    assert (again, told) == (first, [])
    assert (first / "train_images.npy").stat().st_mtime_ns == written


def test_progress_is_told(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 40})
    told: list[tuple[int, int]] = []
    cached_data(f"folder:{root}", 16, validation=0.2, seed=0, progress=lambda *at: told.append(at))
    assert told == [(64, 80), (80, 80)]


def test_a_broken_image_leaves_no_cache(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder(parts={"train": 5})
    (root / "train" / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(SpecError, match="b/1.png cannot be read"):
        cached(root)
    assert not [path for path in (cache / "data").iterdir() if path.is_dir()]


KILLED = """
import os, sys
from nas.data import cached_data
cached_data(sys.argv[1], 16, validation=0.2, seed=0, progress=lambda *_: os.kill(os.getpid(), 9))
"""


def test_what_a_killed_process_left_is_never_used(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder(parts={"train": 5})
    subprocess.run([sys.executable, "-c", KILLED, f"folder:{root}"], check=False)
    left = [path for path in (cache / "data").iterdir() if path.is_dir()]
    assert len(left) == 1 and left[0].name.startswith(".")
    folder = cached(root)
    assert len(open_data(folder).train) == 8
    assert [path for path in (cache / "data").iterdir() if path.is_dir()] == [folder]


def test_a_folder_that_lost_a_file_is_made_again_or_named(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5})
    folder = cached(root)
    (folder / "data.json").unlink()
    assert len(open_data(cached(root)).train) == 8
    images = folder / "train_images.npy"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(StorageError, match="is broken .*; remove the folder"):
        open_data(folder)
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="is broken"):
        open_data(folder)


def test_more_than_memory_is_mapped_and_not_loaded(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(parts={"train": 5})
    in_memory = open_data(cached(root))
    monkeypatch.setattr("nas.data.decoded.available_memory", lambda: 4000)
    with pytest.raises(SpecError, match="10 images of 16x16 take .* proxy.resolution"):
        load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    mapped = open_data(cached(root))
    rows = torch.tensor([7, 0, 3])
    line = torch.arange(16)
    pick = rows[:, None, None], line.flip(0)[None, :, None], line[None, None, :]
    assert torch.equal(mapped.train.images[pick], in_memory.train.images[pick])
    assert torch.equal(mapped.validation.images[0:1], in_memory.validation.images[0:1])
    assert torch.equal(mapped.train.labels[rows], in_memory.train.labels[rows])
    assert len(mapped.subset(4, seed=0).train) == 4


def test_a_full_disk_is_named_before_anything_is_decoded(
    make_folder: MakeFolder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(parts={"train": 5})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9000, 2000, 7000))
    with pytest.raises(StorageError, match="10 images of 16x16 take .* XDG_CACHE_HOME"):
        cached(root)
    assert not list((cache / "data").glob("*.npy"))


def test_a_cache_that_cannot_be_written_is_named(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(parts={"train": 5})
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="Not a directory.*point XDG_CACHE_HOME"):
        cached(root)


def test_nothing_that_a_search_opens_holds_the_test_part(
    make_folder: MakeFolder, cache: Path
) -> None:
    root = make_folder(parts={"train": 5, "val": 2, "test": 3})
    for path in (root / "test").rglob("*.png"):
        Image.new("L", (20, 20), 255).save(path)
    test = open_test(f"folder:{root}", 16)
    assert (len(test), test.images.min().item()) == (6, 255)
    folder = cached(root)
    for data in (open_data(folder), load_data(f"folder:{root}", 16, validation=0.2, seed=0)):
        for split in (data.train, data.validation):
            assert (split.images < 255).all()
    kept = [np.load(path, allow_pickle=False) for path in (cache / "data").rglob("*images.npy")]
    assert len(kept) == 2 and all((images < 255).all() for images in kept)
    assert not folder.is_relative_to(cache / "test")
    shutil.rmtree(root / "test")  # and it changes nothing for a search
    assert cached(root) == folder


def test_the_test_part_is_decoded_once_and_again_when_it_changes(
    make_folder: MakeFolder, cache: Path
) -> None:
    root = make_folder(parts={"train": 3, "test": 2})
    open_test(f"folder:{root}", 16)
    open_test(f"folder:{root}", 16)
    assert len(list((cache / "test").glob("*/data.json"))) == 1
    (root / "test" / "a" / "0.png").unlink()
    assert len(open_test(f"folder:{root}", 16)) == 3
    abouts = [json.loads(path.read_text()) for path in (cache / "test").glob("*/data.json")]
    assert abouts == [{"source": f"folder:{root}", "annotated": "labels"}] * 2
