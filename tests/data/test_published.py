"""Published files, made by hand in the format of their authors."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat

from nas.base.errors import SpecError
from nas.data import DATA, load_data, open_test
from nas.data.kinds import Kind
from nas.data.published import PUBLISHED, Download, Part

COUNT = 20
"""Images of a part; image n is of class n % 10, all its pixels 10 n, or 10 n + 1 in test."""

SIDES = {"cifar10": 32, "cifar100": 32, "fashion-mnist": 28, "svhn": 32}


def planes(part: Part, side: int) -> NDArray[np.uint8]:
    """(N, 3, side, side), of which the third plane is black."""
    levels = 10 * np.arange(COUNT) + (part == "test")
    found = np.broadcast_to(levels[:, None, None, None], (COUNT, 3, side, side)).astype(np.uint8)
    found[:, 2] = 0
    return found


def labels() -> NDArray[np.uint8]:
    return (np.arange(COUNT) % 10).astype(np.uint8)


def cifar(folder: str, batches: dict[str, Part], names: dict[str, list[str]], extra: int) -> bytes:
    """extra: label bytes before the one that is read. A batch holds its share of a part."""
    contents = {name: "\n".join([*lines, ""]).encode() for name, lines in names.items()}
    for part in ("train", "test"):
        files = [name for name, of in batches.items() if of == part]
        coarse = np.full((COUNT, extra), 99, dtype=np.uint8)
        records = np.hstack([coarse, labels()[:, None], planes(part, 32).reshape(COUNT, -1)])
        for name, some in zip(files, np.array_split(records, len(files)), strict=True):
            contents[name] = some.tobytes()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def cifar10(_part: Part) -> list[bytes]:
    batches: dict[str, Part] = {f"data_batch_{number}.bin": "train" for number in range(1, 6)}
    batches["test_batch.bin"] = "test"
    names = {"batches.meta.txt": [f"class{number}" for number in range(10)] + [""]}
    return [cifar("cifar-10-batches-bin", batches, names, 0)]


def cifar100(_part: Part) -> list[bytes]:
    names = {
        "coarse_label_names.txt": ["fish"],
        "fine_label_names.txt": [f"class{number}" for number in range(100)],
    }
    return [cifar("cifar-100-binary", {"train.bin": "train", "test.bin": "test"}, names, 1)]


def fashion(part: Part) -> list[bytes]:
    header = np.array([0x803, COUNT, 28, 28], dtype=">u4").tobytes()
    images = header + planes(part, 28)[:, 0].tobytes()
    numbers = np.array([0x801, COUNT], dtype=">u4").tobytes() + labels().tobytes()
    return [gzip.compress(images), gzip.compress(numbers)]


def svhn(part: Part) -> list[bytes]:
    file = io.BytesIO()
    numbers = np.where(labels() == 0, 10, labels())[:, None]
    savemat(file, {"X": planes(part, 32).transpose(2, 3, 1, 0), "y": numbers})
    return [file.getvalue()]


MADE = {"cifar10": cifar10, "cifar100": cifar100, "fashion-mnist": fashion, "svhn": svhn}


@pytest.fixture(params=MADE)
def published(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A data set whose files are hand-made and stand where its authors' would; its name."""
    name: str = request.param
    files: dict[Part, tuple[Download, ...]] = {}
    for part, downloads in PUBLISHED[name].files.items():
        contents = MADE[name](part)
        files[part] = tuple(
            Download((tmp_path / download.name).as_uri(), hashlib.md5(content).hexdigest())
            for download, content in zip(downloads, contents, strict=True)
        )
        for download, content in zip(downloads, contents, strict=True):
            (tmp_path / download.name).write_bytes(content)
    made = replace(PUBLISHED[name], files=files)
    monkeypatch.setitem(DATA, name, Kind(made.search, made.test))
    yield name


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


def test_the_test_part_of_digits_is_what_no_search_sees() -> None:
    data, test = load_data("digits", 8, validation=0.25, seed=0), open_test("digits", 8)
    assert len(test) == 359
    assert set(test.labels.tolist()) == set(range(10))
    everything = torch.cat([data.train.images, data.validation.images, test.images])
    assert len(everything) == 1797
    seen = {image.numpy().tobytes() for image in (*data.train.images, *data.validation.images)}
    assert not seen & {image.numpy().tobytes() for image in test.images}


def test_published_files_are_read(published: str) -> None:
    data = load_data(published, SIDES[published], validation=0.5, seed=0)
    assert len(data.classes) == (100 if published == "cifar100" else 10)
    assert data.mirror == (published != "svhn")
    images = torch.cat([data.train.images, data.validation.images])
    rows = images[:, 0, 0, 0].long() // 10
    assert sorted(rows.tolist()) == list(range(COUNT))
    assert torch.equal(torch.cat([data.train.labels, data.validation.labels]), rows % 10)
    assert torch.equal(images[..., 1], images[..., 0])
    blue = images[..., 0] if published == "fashion-mnist" else torch.zeros_like(images[..., 0])
    assert torch.equal(images[..., 2], blue)
    assert not (images[..., 0] % 10 == 1).any()  # so are those of the test part


def test_the_test_part_is_another(published: str) -> None:
    test = open_test(published, 16)
    assert (test.images[:, 0, 0, 0] == 10 * torch.arange(COUNT) + 1).all()
    assert torch.equal(test.labels, torch.arange(COUNT) % 10)


def test_a_download_is_kept_and_made_again_when_it_is_damaged(
    published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_data(published, 16, validation=0.5, seed=0)
    kept = sorted((tmp_path / "cache").rglob("downloads/*/*"))
    assert kept
    kept[0].write_bytes(kept[0].read_bytes()[:-10])
    load_data(published, 16, validation=0.5, seed=0)

    def unreachable(*_arguments: object, **_options: object) -> None:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    load_data(published, 16, validation=0.5, seed=0)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(
    "error", [OSError("connection refused\nmore"), TimeoutError(), ConnectionResetError("reset")]
)
def test_without_a_network_it_is_said_what_to_do(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    reason = str(error).splitlines()[0] if str(error) else "TimeoutError"
    said = f"{name} could not be downloaded .{reason}.*put http.* or give .*--data folder:PATH"
    with pytest.raises(SpecError, match=said) as caught:
        load_data(name, 32, validation=0.2, seed=0)
    assert "\n" not in str(caught.value)


def test_other_files_than_the_published_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"<html>"))
    with pytest.raises(SpecError, match="its MD5 sum is not the published one"):
        load_data("svhn", 32, validation=0.2, seed=0)
    assert not list(tmp_path.rglob("*.mat"))
