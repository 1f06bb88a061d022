from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import load_data, open_test

MakeFolder = Callable[..., Path]


def fails(root: Path, said: str, kind: str = "folder") -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load_data(f"{kind}:{root}", 16, validation=0.2, seed=0)
    assert "\n" not in str(caught.value)


def test_a_folder_is_read_grey_and_of_any_shape(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 10, "test": 2})
    data = load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.validation)) == (16, 4)
    assert data.validation.labels.tolist() == [0, 0, 1, 1]
    assert data.train.images.shape[1:] == (16, 16, 3)
    assert data.mirror


def test_a_folder_val_is_used_as_it_is(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5, "val": 3})
    data = load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    assert (len(data.train), len(data.validation)) == (10, 6)


def test_images_lie_in_deeper_folders_too_and_hidden_ones_are_none(
    make_folder: MakeFolder,
) -> None:
    root = make_folder(parts={"train": 5})
    a = root / "train" / "a"
    (a / "more").mkdir()
    (a / "0.png").rename(a / "more" / "0.png")
    (a / ".checkpoints").mkdir()
    (a / ".checkpoints" / "1.png").write_bytes(b"no image")
    (a / "._1.png").write_bytes(b"no image")
    (a / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    data = load_data(f"folder:{root}", 16, validation=0.2, seed=0)
    assert len(data.train) + len(data.validation) == 10


def test_classes_of_twelve_are_twelve_whatever_their_suffixes(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 12}, classes=("a", "b", "c"))
    for name, suffix in (("b", "jfif"), ("c", "jp2")):
        for path in sorted((root / "train" / name).iterdir())[2:]:
            with Image.open(path) as image:
                image.convert("RGB").save(path.with_suffix(f".{suffix}"))
            path.unlink()
    told: list[str] = []
    data = load_data(f"folder:{root}", 16, validation=0.2, seed=0, note=told.append)
    assert np.bincount(data.train.labels).tolist() == [10, 10, 10]
    assert np.bincount(data.validation.labels).tolist() == [2, 2, 2]
    assert told == []


def test_what_is_left_out_is_told(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 3, "test": 2})
    (root / "train" / "a" / "x.heic").write_bytes(b"")
    (root / "test" / "b" / "y.svg").write_bytes(b"")
    (root / "valid").mkdir()
    told: list[str] = []
    load_data(f"folder:{root}", 16, validation=0.2, seed=0, note=told.append)
    assert told[0].startswith(f"left out of {root}/train: 1 .heic;")
    assert told[1].startswith(f"{root}/valid is not read; --validation {root}/valid")
    open_test(f"folder:{root}", 16, note=told.append)
    assert told[2].startswith(f"left out of {root}/test: 1 .svg;")


def test_a_folder_of_its_own_may_be_validated_on(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 4, "val": 3})
    other = make_folder("other", parts={"val": 2}) / "val"
    told: list[str] = []
    source = f"folder:{root}"
    data = load_data(source, 16, validation=str(other), seed=0, note=told.append)
    assert (len(data.train), data.validation.labels.tolist()) == (8, [0, 0, 1, 1])
    assert told == [f"validated on {other} alone"]
    single = make_folder("single", parts={"train": 1})
    held = load_data(f"folder:{single}", 16, validation=str(other), seed=0).validation
    assert len(held) == 4


def test_digits_may_be_validated_on_a_folder(make_folder: MakeFolder) -> None:
    ten = tuple("0123456789")
    root = make_folder(parts={"val": 1}, classes=ten) / "val"
    data = load_data("digits", 8, validation=str(root), seed=0)
    assert data.validation.labels.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("parts", "classes", "said"),
    [
        ({}, (), "no such folder; allowed: a share between 0 and 1, or the path"),
        ({"val": 0}, (), "it has no class folders; needed: .*/<class>/<images>"),
        ({"val": 1}, ("a", "b", "c"), "class 'c' is not in the training images"),
        ({"val": 1}, ("a",), "class 'b' is not in .*; both need the same classes"),
    ],
)
def test_a_wrong_folder_for_validation_is_named(
    make_folder: MakeFolder,
    tmp_path: Path,
    parts: dict[str, int],
    classes: tuple[str, ...],
    said: str,
) -> None:
    root = make_folder(parts={"train": 4})
    make_folder("other", parts=parts, classes=classes)
    if parts:
        (tmp_path / "other" / "val").mkdir(parents=True, exist_ok=True)
    with pytest.raises(SpecError, match=said) as caught:
        load_data(f"folder:{root}", 16, validation=str(tmp_path / "other" / "val"), seed=0)
    assert "\n" not in str(caught.value)


def test_training_images_are_no_validation(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 4})
    with pytest.raises(SpecError, match="these are the training images"):
        load_data(f"folder:{root}", 16, validation=str(root / "train"), seed=0)


def test_broken_folders_are_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    fails(tmp_path / "nowhere", "no such folder")
    fails(tmp_path, "it has no folder train/")
    fails(make_folder("other", parts={"Train": 3}), "no folder train/, but Train/; needed")
    fails(make_folder("one", parts={"train": 3}, classes=("a",)), "1 class folder; at least 2")
    empty = make_folder("empty", parts={"train": 3})
    (empty / "train" / "c").mkdir()
    fails(empty, "train/c holds no image")
    few = make_folder("few", parts={"train": 1})
    fails(few, r"class 'a' \(and 1 more\) has 1 image; every class needs at least 2")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nrest is missing", b"<html>"])
def test_a_broken_image_is_named(make_folder: MakeFolder, content: bytes) -> None:
    root = make_folder(parts={"train": 3})
    (root / "train" / "b" / "1.png").write_bytes(content)
    fails(root, "b/1.png cannot be read .*; mend or remove it")


def test_half_an_image_and_a_link_to_nowhere_are_named(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    half = make_folder("half", parts={"train": 3})
    photo = half / "train" / "b" / "photo.jpg"
    Image.effect_noise((64, 64), 50).save(photo)
    photo.write_bytes(photo.read_bytes()[:-600])
    fails(half, "photo.jpg cannot be read .*truncated")
    linked = make_folder("linked", parts={"train": 3})
    (linked / "train" / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    fails(linked, "gone.png cannot be read .No such file")


def test_a_class_with_one_image_is_enough_when_validation_is_given(
    make_folder: MakeFolder,
) -> None:
    root = make_folder(parts={"train": 1, "val": 1})
    assert len(load_data(f"folder:{root}", 16, validation=0.2, seed=0).train) == 2


def test_a_class_of_val_alone_is_named(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 4, "val": 2})
    (root / "val" / "zebra").mkdir()
    fails(root, "class 'zebra' is not in")


def test_names_that_differ_by_unseen_signs_alone_are_said(make_folder: MakeFolder) -> None:
    """A zip of macOS has `é` as two signs: "class 'café' is not in train", where it was seen."""
    one, two = "caf\u00e9", "cafe\u0301"
    fails(make_folder("twice", parts={"train": 3}, classes=(one, two)), "there twice, but for acc")
    root = make_folder("apart", parts={"train": 3}, classes=(one, "b"))
    (root / "val" / two).mkdir(parents=True)
    fails(root, "is not in .*, but for accents that are signs of their own there; rename one")


def test_the_test_part_is_never_opened_by_a_search(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 5, "test": 1})
    (root / "test" / "a" / "0.png").write_bytes(b"not an image")
    load_data(f"folder:{root}", 16, validation=0.2, seed=0)


def test_the_test_part_is_numbered_as_training_is(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 4, "test": 2})
    test = open_test(f"folder:{root}", 16)
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert test.images.shape == (4, 16, 16, 3)
    assert (test.images[2:] > 128).all()
    with pytest.raises(NoTestPart, match="it has no test part; needed: .*/test/<class>/<images>"):
        open_test(f"folder:{make_folder('none', parts={'train': 4})}", 16)


def test_a_test_part_that_is_wrong_is_not_taken_for_none(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 4, "test": 2})
    (root / "test" / "a").rename(root / "test" / "extra")
    with pytest.raises(SpecError, match="'extra'") as caught:
        open_test(f"folder:{root}", 16)
    assert not isinstance(caught.value, NoTestPart)


def test_imagenet_is_tested_on_val_and_validated_on_training_images(
    make_folder: MakeFolder,
) -> None:
    root = make_folder(parts={"train": 10, "val": 3}, classes=("n01440764", "n01443537"))
    data = load_data(f"imagenet:{root}", 16, validation=0.2, seed=0)
    assert (len(data.train), len(data.validation)) == (16, 4)
    assert data.classes == ("n01440764", "n01443537")
    assert len(open_test(f"imagenet:{root}", 16)) == 6


def test_imagenet_that_is_not_unpacked_says_how(tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    fails(tmp_path, "img_train.tar is not unpacked; once: python -c 'import torch", "imagenet")
