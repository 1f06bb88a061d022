"""The published data sets: digits, which comes with scikit-learn, and small ones to download.

Files are kept as their authors publish them and checked by the MD5 sums published with them.
None is a pickle: of CIFAR, the binary version is read.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError, StorageError
from nas.base.files import write_whole
from nas.base.machine import cache_root
from nas.data.dataset import split_rows
from nas.data.images import Images, ImageSource, Parts, error_reason, in_memory

__all__ = ["PUBLISHED", "Published", "digits", "digits_test"]

_TEST_SHARE = 0.2  # of digits, which come without a test part
_TIMEOUT_SECONDS = 20
_DIGITS = tuple("0123456789")

Part = Literal["train", "test"]

Read = tuple[tuple[str, ...], NDArray[np.uint8], NDArray[np.int64]]
"""The classes, images as (N, H, W) or (N, H, W, 3), labels."""


def digits(_argument: str) -> ImageSource[Parts]:
    """Return the digits, 1,797 of 8x8, without a fifth of every class, cut with seed 0."""
    return ImageSource("digits", lambda: Parts(_DIGITS, _digits("train"), mirror=False))


def digits_test(_argument: str) -> ImageSource[Images]:
    """Return that fifth: 359 images."""
    return ImageSource("digits test", lambda: _digits("test"))


def _digits(part: Part) -> Images:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = (bunch.images * (255.0 / 16.0)).round().astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    kept, aside = split_rows(labels, 1 - _TEST_SHARE, seed=0)
    return in_memory(grey, labels, "digits").only(kept if part == "train" else aside)


@dataclass(frozen=True)
class Download:
    """A file to download.

    md5: its sum, as published with it.
    """

    url: str
    md5: str

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Published:
    """A data set to download.

    read: the contents of a part's files, and the part -> the images, decoded.
    """

    name: str
    files: dict[Part, tuple[Download, ...]]
    read: Callable[[Sequence[bytes], Part], Read]
    mirror: bool = True

    def search(self, _argument: str) -> ImageSource[Parts]:
        """Return the training part."""

        def read() -> Parts:
            classes, images = self._part("train")
            return Parts(classes, images, mirror=self.mirror)

        return ImageSource(self._content("train"), read)

    def test(self, _argument: str) -> ImageSource[Images]:
        """Return the test part."""
        return ImageSource(self._content("test"), lambda: self._part("test")[1])

    def _content(self, part: Part) -> str:
        return " ".join([self.name, part, *(file.md5 for file in self.files[part])])

    def _part(self, part: Part) -> tuple[tuple[str, ...], Images]:
        contents = [self._fetch(file) for file in self.files[part]]
        classes, pixels, labels = self.read(contents, part)
        return classes, in_memory(pixels, labels, f"{self.name} ({part})")

    def _fetch(self, file: Download) -> bytes:
        """Read a file from the user's cache, or from its authors.

        Raises SpecError when it cannot be downloaded.
        Raises StorageError when the cache cannot be used.
        """
        path = cache_root() / "downloads" / self.name / file.name
        try:
            cached = path.read_bytes() if path.exists() else b""
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path} cannot be used ({error.strerror})") from None
        if _md5(cached) == file.md5:
            return cached
        try:
            with urllib.request.urlopen(file.url, timeout=_TIMEOUT_SECONDS) as response:
                content: bytes = response.read()
        except (OSError, HTTPException) as error:
            raise SpecError(self._failure(file, error_reason(error))) from None
        if _md5(content) != file.md5:
            raise SpecError(self._failure(file, "its MD5 sum is not the published one"))
        with write_whole(path) as temporary:
            temporary.write_bytes(content)
        return content

    def _failure(self, file: Download, reason: str) -> str:
        return (
            f"{self.name} could not be downloaded ({reason}); without a network put "
            f"{file.url} into {cache_root() / 'downloads' / self.name}, or give a folder of "
            "images: --data folder:PATH with train/<class>/*"
        )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _cifar10(files: Sequence[bytes], part: Part) -> Read:
    train = [f"data_batch_{number}.bin" for number in range(1, 6)]
    return _cifar(files[0], train if part == "train" else ["test_batch.bin"], "batches.meta.txt", 1)


def _cifar100(files: Sequence[bytes], part: Part) -> Read:
    return _cifar(files[0], [f"{part}.bin"], "fine_label_names.txt", 2)


def _cifar(archive: bytes, batches: Sequence[str], names: str, label_bytes: int) -> Read:
    """Read records of label bytes, the finest last, and three planes of 32x32.

    Other batches of the archive are passed over.
    """
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            file, name = tar.extractfile(member), PurePosixPath(member.name).name
            if file is not None and name in {*batches, names}:
                contents[name] = file.read()
    joined = np.frombuffer(b"".join(contents[name] for name in batches), dtype=np.uint8)
    records = joined.reshape(-1, label_bytes + 3 * 32 * 32)
    planes = records[:, label_bytes:].reshape(-1, 3, 32, 32)
    return (
        tuple(contents[names].decode().split()),
        np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        records[:, label_bytes - 1].astype(np.int64),
    )


def _fashion(files: Sequence[bytes], _part: Part) -> Read:
    """Read the format of MNIST: http://yann.lecun.com/exdb/mnist, headers of 16 and 8 bytes."""
    images, labels = (gzip.decompress(file) for file in files)
    return (
        _FASHION,
        np.frombuffer(images, dtype=np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, dtype=np.uint8, offset=8).astype(np.int64),
    )


def _svhn(files: Sequence[bytes], _part: Part) -> Read:
    """Read a MATLAB file of X (32, 32, 3, N) and y (N, 1), where 10 stands for a zero."""
    from scipy.io import loadmat

    arrays = loadmat(io.BytesIO(files[0]), variable_names=["X", "y"])
    images: NDArray[np.uint8] = np.ascontiguousarray(arrays["X"].transpose(3, 0, 1, 2))
    return _DIGITS, images, arrays["y"].ravel().astype(np.int64) % 10


_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def _at(place: str, *files: tuple[str, str]) -> tuple[Download, ...]:
    return tuple(Download(f"{place}/{name}", md5) for name, md5 in files)


_TORONTO = "https://www.cs.toronto.edu/~kriz"
_ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_STANFORD = "http://ufldl.stanford.edu/housenumbers"
_CIFAR10 = _at(_TORONTO, ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"))
_CIFAR100 = _at(_TORONTO, ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"))

_ALL = (
    Published("cifar10", {"train": _CIFAR10, "test": _CIFAR10}, _cifar10),
    Published("cifar100", {"train": _CIFAR100, "test": _CIFAR100}, _cifar100),
    Published(
        "fashion-mnist",
        {
            "train": _at(
                _ZALANDO,
                ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            ),
            "test": _at(
                _ZALANDO,
                ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
                ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
            ),
        },
        _fashion,
    ),
    Published(
        "svhn",
        {
            "train": _at(_STANFORD, ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373")),
            "test": _at(_STANFORD, ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3")),
        },
        _svhn,
        mirror=False,
    ),
)
PUBLISHED = {published.name: published for published in _ALL}
"""CIFAR: Krizhevsky 2009. Fashion-MNIST: arXiv:1708.07747. SVHN: Netzer and others 2011."""
