"""Decoded images: in memory, or once on disk and mapped into memory by every worker."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.base.errors import SpecError, StorageError
from nas.base.machine import available_memory, cache_root
from nas.data.dataset import Channels, Dataset, Split, split_rows, statistics
from nas.data.images import Images, Parts, decode_ahead
from nas.data.kinds import resolve_source, source_to_search, source_to_test

__all__ = ["cached_data", "load_data", "open_data", "open_test"]

_VERSION = 2  # of how images are decoded: a new one leaves the old caches alone
_MEMORY_SHARE = 0.6
_ABOUT = "data.json"

Progress = Callable[[int, int], None]


def load_data(source: str, resolution: int, *, validation: float, seed: int) -> Dataset:
    """Load a data set into memory and cut off its validation part.

    source: `digits`, `folder:PATH` or another of `DATA`, or `module:function`.
    validation: share of the training images used for it when the source brings none.
    seed: of the cut.
    Raises SpecError when the images cannot be read, or are more than memory holds.
    """
    parts = source_to_search(source).open()
    train, held = _divide(parts, source, validation, seed)
    _check_memory(source, len(train) + len(held), resolution)
    images = _array(train, resolution)
    mean, std = statistics(images)
    return Dataset(
        train=_split(images, train.labels),
        validation=_split(_array(held, resolution), held.labels),
        classes=parts.classes,
        mean=mean,
        std=std,
        mirror=parts.mirror,
        source=source,
    )


def cached_data(
    source: str,
    resolution: int,
    *,
    validation: float,
    seed: int,
    normalisation: tuple[Channels, Channels] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Decode a data set into the user's cache and return its folder (for `open_data`).

    The folder's name changes when any image does. It may hold more than memory.

    validation, seed: see `load_data`.
    normalisation: mean and deviation of pixels from 0 to 255; None: those of the training images.
    progress: called with (images decoded, all images).
    Raises SpecError for data that cannot be read.
    Raises StorageError without space.
    """
    source = resolve_source(source)
    images = source_to_search(source)
    parts = [source, resolution, validation, seed, images.content]
    # What is normalised otherwise gives other figures.
    named = parts if normalisation is None else [*parts, normalisation]
    folder = cache_root() / "data" / _key(*named)
    if (folder / _ABOUT).exists():
        return folder
    opened = images.open()
    train, held = _divide(opened, source, validation, seed)

    def describe(building: Path) -> dict[str, Any]:
        mean, std = normalisation or statistics(
            np.load(building / "train_images.npy", mmap_mode="r")
        )
        return {
            "classes": opened.classes,
            "mean": mean,
            "std": std,
            "mirror": opened.mirror,
            "source": source,
        }

    _keep(folder, {"train": train, "validation": held}, resolution, describe, progress)
    return folder


def open_data(folder: Path) -> Dataset:
    """Map what `cached_data` wrote into memory, without copying it. Raises StorageError."""
    about, (train, validation) = _open(folder, "train", "validation")
    return Dataset(
        train=train,
        validation=validation,
        classes=tuple(about["classes"]),
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        mirror=about["mirror"],
        source=about["source"],
    )


def open_test(source: str, resolution: int, *, progress: Progress | None = None) -> Split:
    """Return the test part of a source, decoded as its other images are and kept apart from them.

    It is for a final figure of a chosen network, never for choosing one.
    Raises SpecError when the source brings none.
    Raises StorageError without space.
    """
    source = resolve_source(source)
    images = source_to_test(source)
    folder = cache_root() / "test" / _key(source, resolution, images.content)
    if not (folder / _ABOUT).exists():
        _keep(folder, {"test": images.open()}, resolution, lambda _: {"source": source}, progress)
    return _open(folder, "test")[1][0]


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps([_VERSION, *parts]).encode()).hexdigest()[:16]


def _divide(parts: Parts, source: str, validation: float, seed: int) -> tuple[Images, Images]:
    """Return training and validation images; the second are cut from the first, or given.

    Raises SpecError for a class that is too small to be in both.
    """
    labels = parts.train.labels
    if parts.validation is not None:
        return parts.train, parts.validation
    counts = np.bincount(labels)
    single = np.flatnonzero(counts == 1)
    if len(single):
        others = f" (and {len(single) - 1} more)" if len(single) > 1 else ""
        raise SpecError(
            f"data {source!r}: class {parts.classes[single[0]]!r}{others} has 1 image; every class "
            "needs at least 2 images, one of them for validation"
        )
    kept, held = split_rows(labels, 1 - validation, seed)
    return parts.train.only(kept), parts.train.only(held)


def _check_memory(source: str, count: int, resolution: int) -> None:
    wanted, free = count * resolution**2 * 3, available_memory()
    if free is not None and wanted > free * _MEMORY_SHARE:
        raise SpecError(
            f"data {source!r}: {count} images of {resolution}x{resolution} take "
            f"{wanted / 2**30:.1f} GiB and {free / 2**30:.1f} are free; train on smaller ones "
            "(--set proxy.resolution=...), or map them from disk (cached_data, open_data)"
        )


def _array(images: Images, resolution: int) -> NDArray[np.uint8]:
    pixels = np.empty((len(images), resolution, resolution, 3), dtype=np.uint8)
    done = 0
    for block in decode_ahead(images, resolution):
        pixels[done : done + len(block)] = block
        done += len(block)
    return pixels


def _split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _keep(
    folder: Path,
    splits: Mapping[str, Images],
    resolution: int,
    describe: Callable[[Path], dict[str, Any]],
    progress: Progress | None,
) -> None:
    """Decode splits into a folder, which is there whole or not at all.

    describe: folder of the decoded images -> what data.json says of them.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if (folder / _ABOUT).exists():  # made by another process meanwhile
                return
            _clear(folder)
            _check_disk(folder.parent, sum(len(images) for images in splits.values()), resolution)
            building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            try:
                _write(building, splits, resolution, progress)
                (building / _ABOUT).write_text(json.dumps(describe(building)))
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"decoded images cannot be kept in {folder.parent} ({error.strerror or error}); free "
            "some space there, or point XDG_CACHE_HOME to another disk"
        ) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, for which other processes wait; it dies with its process."""
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear(folder: Path) -> None:
    """Remove what a killed process, or a user's hand, left of a folder."""
    for left in [folder, *folder.parent.glob(f".{folder.name}.*/")]:
        shutil.rmtree(left, ignore_errors=True)


def _check_disk(place: Path, count: int, resolution: int) -> None:
    wanted, free = count * resolution**2 * 3, shutil.disk_usage(place).free
    if wanted > free:
        raise StorageError(
            f"{count} images of {resolution}x{resolution} take {wanted / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} are free in {place}; free some space there, point XDG_CACHE_HOME "
            "to another disk, or train on smaller ones (--set proxy.resolution=...)"
        )


def _write(
    building: Path, splits: Mapping[str, Images], resolution: int, progress: Progress | None
) -> None:
    """Write NAME_images.npy and NAME_labels.npy of each split; they are on the disk afterwards."""
    # Block by block: a map of the file would end the process on a full disk.
    done, total = 0, sum(len(images) for images in splits.values())
    for name, images in splits.items():
        np.save(building / f"{name}_labels.npy", images.labels)
        shape = (len(images), resolution, resolution, 3)
        with (building / f"{name}_images.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for block in decode_ahead(images, resolution):
                file.write(block.data)
                done += len(block)
                if progress is not None:
                    progress(done, total)
            file.flush()
            os.fsync(file.fileno())


def _open(folder: Path, *names: str) -> tuple[dict[str, Any], list[Split]]:
    try:
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_text())
        size = sum(path.stat().st_size for path in folder.glob("*.npy"))
        splits = [
            Split(
                _map(folder / f"{name}_images.npy", size),
                _map(folder / f"{name}_labels.npy", size),
            )
            for name in names
        ]
    except (OSError, ValueError) as error:
        raise StorageError(f"cached data {folder} is broken ({error}); remove the folder") from None
    return about, splits


def _map(path: Path, size: int) -> Tensor:
    """Return a file as a tensor, read as it is used, its pages shared by all processes.

    size: of all that is mapped, bytes.
    """
    # Copy-on-write, since torch wants writable memory; of more than memory the system would have
    # to promise copies that it has no room for, so that is read-only.
    free = available_memory()
    if free is None or size <= free * _MEMORY_SHARE:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.load(path, mmap_mode="r", allow_pickle=False))
