"""Images as uint8 tensors in memory, cut into training and validation parts.

The test part of a data set is never loaded here: a search cannot see it (DESIGN, contract 5).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nas.environment import available_memory, cache_root
from nas.errors import SpecError, StorageError

__all__ = [
    "DATA",
    "Dataset",
    "Split",
    "cached_data",
    "load_data",
    "open_data",
    "resolved_source",
]

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_MEMORY_SHARE = 0.6
_TEST_SHARE = 0.2  # of digits, which come without a test part

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Split:
    """images: (N, H, W, 3) uint8, so that a batch seen as NCHW is channels_last as it lies.
    labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Training and validation images of one resolution.

    mean, std: per channel over the training images, on the scale 0 to 255.
    mirror: whether a mirrored image is still of its class (false for digits).
    source: what was asked for, such as `digits` or `folder:PATH`.
    """

    train: Split
    validation: Split
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    mirror: bool
    source: str

    @property
    def resolution(self) -> int:
        return int(self.train.images.shape[1])


@dataclass(frozen=True)
class _Raw:
    """What a source holds: a training part, and a validation part when it brings one."""

    classes: tuple[str, ...]
    train: Arrays
    validation: Arrays | None = None
    mirror: bool = True


def _digits(_argument: str, resolution: int) -> _Raw:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    # The last fifth of every class stays aside as the test part.
    order = _cut(labels, 1 - _TEST_SHARE, seed=0)[0]
    grey = (bunch.images[order] * (255.0 / 16.0)).round().astype(np.uint8)
    images = np.stack([_resize(Image.fromarray(image), resolution) for image in grey])
    return _Raw(tuple("0123456789"), (images, labels[order]), mirror=False)


def _cifar10(_argument: str, resolution: int) -> _Raw:
    import torchvision

    root = cache_root() / "cifar10"
    try:
        root.mkdir(parents=True, exist_ok=True)
        # torchvision unpickles these files only after their MD5 sums agree with its own.
        data = torchvision.datasets.CIFAR10(str(root), train=True, download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(
            f"cifar10 could not be downloaded ({reason}); without a network give a folder of "
            "images: --data folder:PATH with train/<class>/*"
        ) from None
    images: NDArray[np.uint8] = data.data
    if resolution != images.shape[1]:
        images = np.stack([_resize(Image.fromarray(image), resolution) for image in images])
    return _Raw(tuple(data.classes), (images, np.asarray(data.targets, dtype=np.int64)))


def _folder(argument: str, resolution: int) -> _Raw:
    root = Path(argument).expanduser()
    train = root / "train"
    if not train.is_dir():
        found = "no such folder" if not root.is_dir() else "it has no folder train/"
        raise SpecError(f"data folder {root}: {found}; needed: {root}/train/<class>/<images>")
    classes = sorted(_class_folders(train))
    if len(classes) < 2:
        raise SpecError(
            f"data folder {train}: {len(classes)} class folders; at least 2 are needed, "
            "one for each class"
        )
    validation = root / "val"
    if validation.is_dir():
        unknown = _class_folders(validation) - set(classes)
        if unknown:
            raise SpecError(
                f"data folder {validation}: class {min(unknown)!r} is not in {train}; both need "
                "the same classes"
            )
    return _Raw(
        tuple(classes),
        _read_folder(train, classes, resolution),
        _read_folder(validation, classes, resolution) if validation.is_dir() else None,
    )


DATA: dict[str, Callable[[str, int], _Raw]] = {
    "digits": _digits,
    "cifar10": _cifar10,
    "folder": _folder,
}
"""Source -> loader(argument behind the colon, resolution)."""


def _class_folders(part: Path) -> set[str]:
    """Names of the class folders; hidden ones (.ipynb_checkpoints) are left out."""
    try:
        return {
            item.name for item in part.iterdir() if item.is_dir() and not item.name.startswith(".")
        }
    except OSError as error:
        raise SpecError(f"data folder {part} cannot be read ({error.strerror})") from None


def _read_folder(part: Path, classes: Sequence[str], resolution: int) -> Arrays:
    """Decode every image of a part; raises SpecError naming the first that cannot be read."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (part / name).glob("*") if path.suffix.lower() in _IMAGES)
        if not found:
            raise SpecError(
                f"class folder {part / name} holds no image; read are: {', '.join(sorted(_IMAGES))}"
            )
        paths += found
        labels += [label] * len(found)
    _check_memory(len(paths), resolution, part)
    images = np.empty((len(paths), resolution, resolution, 3), dtype=np.uint8)

    def read(row: int) -> None:
        try:
            with Image.open(paths[row]) as image:
                images[row] = _resize(image, resolution)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SpecError(
                f"image {paths[row]} cannot be read ({error}); mend or remove it"
            ) from None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(read, range(len(paths)), chunksize=256):
            pass
    return images, np.asarray(labels, dtype=np.int64)


def _check_memory(count: int, resolution: int, part: Path) -> None:
    """All images of a part are held in memory. Raises SpecError before it runs out."""
    wanted, free = count * resolution**2 * 3, available_memory()
    if free is not None and wanted > free * _MEMORY_SHARE:
        raise SpecError(
            f"data folder {part}: {count} images of {resolution}x{resolution} take "
            f"{wanted / 2**30:.1f} GiB and {free / 2**30:.1f} are free; train on smaller ones "
            "(--set proxy.resolution=...) or on fewer"
        )


def _resize(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """RGB, the shorter side scaled to the resolution, the middle cut out."""
    rgb = image.convert("RGB")
    if rgb.size != (resolution, resolution):
        scale = resolution / min(rgb.size)
        width, height = (max(resolution, round(side * scale)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - resolution) // 2, (height - resolution) // 2
        rgb = rgb.crop((left, top, left + resolution, top + resolution))
    return np.asarray(rgb, dtype=np.uint8)


def _cut(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row numbers in two, class by class, so that both parts hold every class."""
    rng = np.random.default_rng(seed)
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        size = min(max(1, round(share * len(rows))), len(rows) - 1) if len(rows) > 1 else 1
        first.append(rows[:size])
        second.append(rows[size:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def resolved_source(source: str) -> str:
    """The same source, with a folder's path made absolute: a run is resumed from anywhere."""
    kind, _, argument = source.partition(":")
    if kind != "folder" or not argument:
        return source
    return f"folder:{Path(argument).expanduser().resolve()}"


def load_data(source: str, resolution: int, *, validation: float, seed: int) -> Dataset:
    """Load a data set and cut off its validation part.

    source: `digits`, `cifar10` or `folder:PATH`. validation: share of the training images
    used for it when the source brings no val/. seed: of the cut. Raises SpecError.
    """
    kind, _, argument = source.partition(":")
    if kind not in DATA or (kind == "folder") != bool(argument):
        raise SpecError(f"data {source!r}; allowed: digits, cifar10, folder:PATH")
    raw = DATA[kind](argument, resolution)
    images, labels = raw.train
    if raw.validation is not None:
        held = raw.validation
    else:
        kept_rows, held_rows = _cut(labels, 1 - validation, seed)
        held = images[held_rows], labels[held_rows]
        images, labels = images[kept_rows], labels[kept_rows]
    if len(np.unique(held[1])) < 2:
        raise SpecError(
            f"data {source!r}: {len(held[1])} validation images; every class needs at least "
            "2 images, one of them for validation"
        )
    mean, std = _statistics(images)
    return Dataset(
        train=Split(torch.from_numpy(images), torch.from_numpy(labels)),
        validation=Split(torch.from_numpy(held[0]), torch.from_numpy(held[1])),
        classes=raw.classes,
        mean=mean,
        std=std,
        mirror=raw.mirror,
        source=source,
    )


def _statistics(
    images: NDArray[np.uint8],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation per channel, 0 to 255, from at most 10,000 images."""
    some = images[:: max(1, len(images) // 10_000)].reshape(-1, 3)
    mean = some.mean(axis=0, dtype=np.float64)
    std = np.maximum(some.std(axis=0, dtype=np.float64), 1.0)
    return (
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(std[0]), float(std[1]), float(std[2])),
    )


# Decoded once, then mapped into memory by every worker: nothing is decoded or copied twice.


def cached_data(source: str, resolution: int, *, validation: float, seed: int) -> Path:
    """Decode a data set into the user's cache and return its folder (for `open_data`).

    Raises SpecError for data that cannot be read, StorageError without space.
    """
    key = _fingerprint(source, resolution, validation, seed)
    folder = cache_root() / "data" / key
    if (folder / "data.json").exists():
        return folder
    data = load_data(source, resolution, validation=validation, seed=seed)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key}."))
        try:
            for name, split in (("train", data.train), ("validation", data.validation)):
                np.save(building / f"{name}_images.npy", split.images.numpy())
                np.save(building / f"{name}_labels.npy", split.labels.numpy())
            about = {
                "classes": data.classes,
                "mean": data.mean,
                "std": data.std,
                "mirror": data.mirror,
                "source": data.source,
            }
            (building / "data.json").write_text(json.dumps(about))
            if not folder.exists():
                building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"decoded images cannot be kept in {folder.parent} ({error.strerror or error}); free "
            "some space there, or point XDG_CACHE_HOME to another disk"
        ) from None
    return folder


def open_data(folder: Path) -> Dataset:
    """Map what `cached_data` wrote into memory, without copying it. Raises StorageError."""
    try:
        about = json.loads((folder / "data.json").read_text())
        splits = [
            Split(_mapped(folder / f"{name}_images.npy"), _mapped(folder / f"{name}_labels.npy"))
            for name in ("train", "validation")
        ]
    except (OSError, ValueError) as error:
        raise StorageError(f"cached data {folder} is broken ({error}); remove the folder") from None
    return Dataset(
        train=splits[0],
        validation=splits[1],
        classes=tuple(about["classes"]),
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        mirror=about["mirror"],
        source=about["source"],
    )


def _mapped(path: Path) -> Tensor:
    # Copy-on-write: torch wants writable memory, and pages that are only read stay shared.
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def _fingerprint(source: str, resolution: int, validation: float, seed: int) -> str:
    """Changes when any image of a folder is added, removed or written again."""
    parts: list[object] = [1, resolved_source(source), resolution, validation, seed]
    kind, _, argument = source.partition(":")
    if kind == "folder":
        root = Path(argument).expanduser().resolve()
        for part in ("train", "val"):
            for path in sorted((root / part).glob("*/*")):
                if path.is_file():  # not so: a link that leads nowhere
                    stat = path.stat()
                    parts.append((str(path.relative_to(root)), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
