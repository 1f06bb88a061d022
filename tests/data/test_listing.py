from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.data.listing import Listing, list_classes, list_images, local_path, portable_path, readable

MakeFolder = Callable[..., Path]


@pytest.fixture
def train(make_folder: MakeFolder) -> Path:
    return make_folder(parts={"train": 2}) / "train"


def listed(train: Path) -> Listing:
    return list_images(train, list_classes(train), rules=2)


def names(listing: Listing) -> list[str]:
    return [str(Path(path).relative_to(listing.top)) for _, path in listing.files]


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


def test_links_to_files_folders_and_classes_are_followed(train: Path, tmp_path: Path) -> None:
    image(tmp_path / "pool" / "1.png")
    image(tmp_path / "c" / "1.png")
    (train / "a" / "link.png").symlink_to(tmp_path / "pool" / "1.png")
    (train / "a" / "pool").symlink_to(tmp_path / "pool")
    (train / "c").symlink_to(tmp_path / "c")
    found = listed(train)
    assert names(found) == [
        "a/0.png", "a/1.png", "a/link.png", "a/pool/1.png", "b/0.png", "b/1.png", "c/1.png",
    ]  # fmt: skip
    assert not found.left_out
    before = list_images(train, list_classes(train), rules=1)
    assert "a/pool/1.png" not in names(before)


def test_loops_end_and_are_counted(train: Path) -> None:
    (train / "a" / "deep").mkdir()
    image(train / "a" / "deep" / "2.png")
    (train / "a" / "deep" / "back").symlink_to(train / "a")
    (train / "a" / "above").symlink_to(train)  # whose other classes are not of this one
    (train / "a" / "aaa").symlink_to("deep")
    (train / "b" / "self").symlink_to("self")
    (train / "b" / "other").symlink_to(train / "a" / "deep")
    found = listed(train)
    assert names(found) == [
        "a/0.png", "a/1.png", "a/deep/2.png", "b/0.png", "b/1.png", "b/other/2.png",
    ]  # fmt: skip
    assert found.left_out == {"linked again": 4, "without a suffix": 1}


def test_what_is_left_out_is_counted_by_kind(train: Path) -> None:
    assert listed(train).note is None
    for name in ("a/x.heic", "a/y.HEIC", "b/notes.txt", "a/._0.png", "loose.png", "b/README"):
        (train / name).write_bytes(b"")
    (train / ".hidden").mkdir()
    found = listed(train)
    assert found.left_out == {
        ".heic": 2, ".txt": 1, "hidden": 2, "beside the class folders": 1, "without a suffix": 1,
    }  # fmt: skip
    assert found.note is not None
    assert found.note.startswith(f"left out of {train}: ")
    assert "2 .heic, " in found.note and "\n" not in found.note


def test_a_class_of_other_files_says_what_it_holds(train: Path) -> None:
    (train / "c").mkdir()
    for number in range(3):
        (train / "c" / f"{number}.heic").write_bytes(b"")
    with pytest.raises(
        SpecError,
        match=r"train/c holds no image \(it holds 3 .heic\); read are .jpg, .*other kinds",
    ):
        listed(train)


def test_what_is_no_file_is_named_and_not_waited_for(train: Path) -> None:
    os.mkfifo(train / "a" / "pipe.png")
    with pytest.raises(SpecError, match="pipe.png cannot be read .it is no file"):
        listed(train)


def test_names_that_are_not_utf_8_can_be_shown(train: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    image(train / name / "0.png")
    image(train / "ä日" / "0.png")
    assert list(list_classes(train)) == ["a", "b", r"caf\xe9", "ä日"]
    assert len(listed(train).files) == 6
    assert readable(name).encode()
    assert local_path(portable_path(train / name)) == train / name


def test_a_home_is_found_and_that_of_nobody_stays_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/images") == tmp_path / "images"
    assert local_path("~nobody-of-this-name/images") == Path("~nobody-of-this-name/images")
