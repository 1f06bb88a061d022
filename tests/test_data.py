from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import cached_data, load_data, open_data
from nas.errors import SpecError


def make_folder(
    root: Path, *, parts: dict[str, int], classes: tuple[str, ...] = ("a", "b")
) -> Path:
    """Image folder with parts[name] images for each class; class b is bright."""
    for part, count in parts.items():
        for level, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((20, 30), 40 + 150 * level + number, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def test_digits_are_cut_without_overlap_and_the_test_part_stays_out() -> None:
    data = load_data("digits", 16, validation=0.25, seed=0)
    assert data.train.images.shape == (len(data.train), 16, 16, 3)
    assert data.train.images.dtype == torch.uint8
    assert len(data.train) + len(data.validation) == 1438  # four fifths of 1,797
    assert abs(len(data.validation) / 1438 - 0.25) < 0.01
    assert set(data.validation.labels.tolist()) == set(range(10))
    assert not data.mirror
    again = load_data("digits", 16, validation=0.25, seed=0)
    other = load_data("digits", 16, validation=0.25, seed=1)
    assert torch.equal(data.validation.images, again.validation.images)
    assert not torch.equal(data.validation.labels, other.validation.labels)


def test_a_folder_is_read_grey_and_of_any_shape(tmp_path: Path) -> None:
    root = make_folder(tmp_path, parts={"train": 10, "test": 2})
    data = load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.validation)) == (16, 4)
    assert data.validation.labels.tolist() == [0, 0, 1, 1]
    assert data.train.images.shape[1:] == (16, 16, 3)


def test_a_folder_val_is_used_as_it_is(tmp_path: Path) -> None:
    root = make_folder(tmp_path, parts={"train": 5, "val": 3})
    data = load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    assert (len(data.train), len(data.validation)) == (10, 6)


def test_the_cache_maps_the_same_images_and_sees_changes(tmp_path: Path) -> None:
    root = make_folder(tmp_path, parts={"train": 5})
    source = f"folder:{root}"
    first = cached_data(source, 16, validation=0.2, seed=0)
    loaded, mapped = load_data(source, 16, validation=0.2, seed=0), open_data(first)
    assert torch.equal(loaded.train.images, mapped.train.images)
    assert (loaded.classes, loaded.mean, loaded.std) == (mapped.classes, mapped.mean, mapped.std)
    assert cached_data(source, 16, validation=0.2, seed=0) == first
    (root / "train" / "a" / "0.png").unlink()
    assert cached_data(source, 16, validation=0.2, seed=0) != first


def test_the_test_part_is_never_opened(tmp_path: Path) -> None:
    root = make_folder(tmp_path, parts={"train": 5})
    (root / "test" / "a").mkdir(parents=True)
    (root / "test" / "a" / "broken.png").write_bytes(b"not an image")
    load_data(f"folder:{root}", 16, validation=0.2, seed=0)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mnist", "allowed: digits, cifar10, folder:PATH"),
        ("folder:", "allowed: digits, cifar10, folder:PATH"),
        ("digits:x", "allowed: digits, cifar10, folder:PATH"),
        ("folder:/nowhere/at/all", "no such folder"),
    ],
)
def test_wrong_source_is_said(source: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_data(source, 16, validation=0.2, seed=0)


def test_broken_folders_are_named(tmp_path: Path) -> None:
    def fails(root: Path, said: str) -> None:
        with pytest.raises(SpecError, match=said) as caught:
            load_data(f"folder:{root}", 16, validation=0.2, seed=0)
        assert "\n" not in str(caught.value)

    fails(tmp_path, "it has no folder train/")
    one_class = make_folder(tmp_path / "one", parts={"train": 3}, classes=("a",))
    fails(one_class, "1 class folders; at least 2")
    empty = make_folder(tmp_path / "empty", parts={"train": 3})
    (empty / "train" / "c").mkdir()
    fails(empty, "train/c holds no image")
    broken = make_folder(tmp_path / "broken", parts={"train": 3})
    (broken / "train" / "b" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nrest is missing")
    fails(broken, "b/1.png cannot be read")
    few = make_folder(tmp_path / "few", parts={"train": 1})
    fails(few, "every class needs at least 2")


def test_a_class_of_val_alone_and_too_many_images_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path, parts={"train": 4, "val": 2})
    (root / "val" / "zebra").mkdir()
    with pytest.raises(SpecError, match="class 'zebra' is not in"):
        load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    (root / "val" / "zebra").rmdir()
    monkeypatch.setattr("nas.data.available_memory", lambda: 4000)
    with pytest.raises(SpecError, match="8 images of 16x16 take .* proxy.resolution"):
        load_data(f"folder:{root}", 16, validation=0.2, seed=0)


def test_cifar10_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError("connection refused\nmore")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", unreachable)
    with pytest.raises(SpecError, match="connection refused.*--data folder:PATH"):
        load_data("cifar10", 32, validation=0.2, seed=0)
