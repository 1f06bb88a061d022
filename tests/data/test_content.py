from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.base.machine import cache_root
from nas.data import content
from nas.data.content import content_digest, stamps_digest
from nas.data.listing import Listing, list_classes, list_images

MakeFolder = Callable[..., Path]


def listed(root: Path) -> list[Listing]:
    return [list_images(root / "train", list_classes(root / "train"), rules=2)]


def test_places_and_times_change_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(parts={"train": 3})
    digest, stamps = content_digest(listed(root)), stamps_digest(listed(root))
    for path in (root / "train").rglob("*.png"):
        os.utime(path, ns=(1, 1))
    assert content_digest(listed(root)) == digest
    assert stamps_digest(listed(root)) != stamps
    shutil.copytree(root, tmp_path / "copy")
    assert content_digest(listed(tmp_path / "copy")) == digest
    (tmp_path / "linked").symlink_to(root)
    assert content_digest(listed(tmp_path / "linked")) == digest


def test_names_and_bytes_change_it(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 3})
    seen = {content_digest(listed(root))}
    image = root / "train" / "a" / "0.png"
    status = image.stat()
    image.write_bytes(image.read_bytes()[:-1] + b"x")  # as long, and as old
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    seen.add(content_digest(listed(root)))
    image.rename(image.with_name("other.png"))
    seen.add(content_digest(listed(root)))
    image.with_name("other.png").rename(root / "train" / "b" / "other.png")
    seen.add(content_digest(listed(root)))
    assert len(seen) == 4


def test_files_are_read_once(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(parts={"train": 3})
    digest = content_digest(listed(root))

    def read(path: str) -> bytes:
        raise AssertionError(path)

    monkeypatch.setattr(content, "_file_digest", read)
    assert content_digest(listed(root)) == digest


def test_without_a_cache_it_is_the_same(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(parts={"train": 3})
    digest = content_digest(listed(root))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert content_digest(listed(root)) == digest


@pytest.mark.parametrize("kept", ["", "0123", "\xff" * 64])
def test_what_the_cache_holds_otherwise_is_made_again(make_folder: MakeFolder, kept: str) -> None:
    root = make_folder(parts={"train": 3})
    digest = content_digest(listed(root))
    (file,) = (cache_root() / "digests").iterdir()
    file.write_text(kept, encoding="latin-1")
    assert content_digest(listed(root)) == digest
    assert file.read_text() == digest


def test_a_cache_that_cannot_be_written_is_gone_without(make_folder: MakeFolder) -> None:
    root = make_folder(parts={"train": 3})
    digest = content_digest(listed(root))
    (file,) = (cache_root() / "digests").iterdir()
    file.unlink()
    file.mkdir()  # so that nothing takes its place
    (file / "other").touch()
    assert content_digest(listed(root)) == digest
