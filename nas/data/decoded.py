"""Decoded images: in memory, or once on disk and mapped into memory by every worker."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from nas.base.errors import SpecError, StorageError
from nas.base.machine import available_memory, cache_root
from nas.base.size import Resolution, Size
from nas.data.dataset import Dataset, Split, shared_images, statistics
from nas.data.images import Images, decode_ahead
from nas.data.kinds import resolve_source, source_to_test
from nas.data.reading import Annotated, Merging, Reading, Resize, Rules
from nas.data.searched import Searched, folder_name, identity

__all__ = ["cached_data", "data_names", "load_data", "open_data", "open_test", "same_images"]

_MEMORY_SHARE = 0.6
_SHARED = 0.01  # of validation images: fewer doubles, as CIFAR-10 has, change no figure
_ABOUT = "data.json"
_READING = Reading()
_RULES: tuple[Rules, Rules] = (2, 1)

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


def load_data(
    source: str,
    resolution: Resolution,
    *,
    validation: float | str,
    seed: int,
    resize: Resize = "crop",
    annotated: Annotated = "labels",
    classes: Merging = (),
    note: Note | None = None,
) -> Dataset:
    """Load a data set into memory and cut off its validation part.

    source: `digits`, `folder:PATH` or another of `DATA`, or `module:function`.
    resolution: size of the images: 32, or "32x24" (height first).
    validation: share of the training images used for it when the source brings none; or the path
        of a folder with <class>/<images> that are used instead of any others. With masks: of one
        with images/ and masks/; with identities the share is of these.
    seed: of the cut.
    resize, annotated, classes: see `Reading`.
    note: hears in sentences what is left out, and the like.
    Raises SpecError when the images cannot be read, or are more than memory holds.
    """
    size = Size.of(resolution)
    reading = Reading(resize, annotated=annotated, classes=classes)
    search = Searched.of(source, validation, seed, reading)
    _tell(search.notes, note)
    parts, train, held = search.divide()
    _tell(_found_late(train, held), note)
    _check_memory(source, {"train": train, "validation": held}, size)
    learnt = _split(train, size, resize)
    mean, std = statistics(learnt.images.numpy())
    return Dataset(
        train=learnt,
        validation=_split(held, size, resize),
        classes=parts.classes,
        mean=mean,
        std=std,
        mirror=parts.mirror,
        source=source,
        annotated=annotated,
        categories=parts.categories,
    )


def cached_data(
    source: str,
    resolution: Resolution,
    *,
    validation: float | str,
    seed: int,
    reading: Reading = _READING,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Path:
    """Decode a data set into the user's cache and return its folder (for `open_data`).

    The folder's name changes when any image does, and not when the same images lie elsewhere. It
    may hold more than memory.

    validation, seed, note: see `load_data`.
    progress: called with (images decoded, all images).
    Raises SpecError for data that cannot be read.
    Raises StorageError without space.
    """
    source = resolve_source(source)
    search = Searched.of(source, validation, seed, reading)
    _tell(search.notes, note)
    size = Size.of(resolution)
    folder = cache_root() / "data" / search.name(size)
    if (folder / _ABOUT).exists():
        _tell(_shared(folder), note)
        return folder
    parts, train, held = search.divide()
    _tell(_found_late(train, held), note)

    def describe(building: Path) -> dict[str, Any]:
        mean, std = reading.normalisation or statistics(
            np.load(building / "train_images.npy", mmap_mode="r")
        )
        return {
            "classes": parts.classes,
            "mean": mean,
            "std": std,
            "mirror": parts.mirror,
            "source": source,
            "annotated": reading.annotated,
            "categories": parts.categories,
            "shared": shared_images(
                *(
                    np.load(building / f"{name}_images.npy", mmap_mode="r")
                    for name in ("train", "validation")
                )
            ),
        }

    splits = {"train": train, "validation": held}
    _keep(folder, splits, size, reading.resize, describe, progress)
    _tell(_shared(folder), note)
    return folder


def data_names(
    source: str,
    resolution: Resolution,
    *,
    validation: float | str,
    seed: int,
    reading: Reading = _READING,
) -> dict[Rules, str]:
    """Return what the folder of decoded images is called by today's rules, and by earlier ones
    where these find the same images.

    The arguments are those of `cached_data`, the rules left out. Nothing is decoded.
    Raises SpecError for data that cannot be read.
    """
    source, size = resolve_source(source), Size.of(resolution)
    searches: dict[Rules, Searched] = {
        rules: Searched.of(source, validation, seed, replace(reading, rules=rules))
        for rules in _RULES
    }
    return {
        rules: search.name(size)
        for rules, search in searches.items()
        if search.same_as(searches[2])
    }


def same_images(one: Path, other: Path) -> bool:
    """Return whether two folders of decoded images hold the same; not where one is gone."""
    kept = {path.name for folder in (one, other) for path in folder.glob("*_annotations.npy")}
    names = ("train_images", "train_labels", "validation_images", "validation_labels")
    files = {f"{name}.npy" for name in names} | kept
    return all(_same_file(one / name, other / name) for name in sorted(files))


def _same_file(one: Path, other: Path) -> bool:
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as first, other.open("rb") as second:
            digests = [hashlib.file_digest(file, "sha256").digest() for file in (first, second)]
    except OSError:
        return False
    return digests[0] == digests[1]


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
        annotated=about.get("annotated", "labels"),  # of before there were others
        categories=tuple(
            tuple((number, name) for number, name in files) for files in about.get("categories", ())
        ),
    )


def open_test(
    source: str,
    resolution: Resolution,
    *,
    reading: Reading = _READING,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Split:
    """Return the test part of a source, decoded as its other images are and kept apart from them.

    It is for a final figure of a chosen network, never for choosing one.
    progress, note: see `cached_data`.
    Raises SpecError when the source brings none.
    Raises StorageError without space.
    """
    source = resolve_source(source)
    images = source_to_test(source, reading)
    _tell(images.notes, note)
    kind, content = identity(source, images, reading.rules)
    size = Size.of(resolution)
    folder = cache_root() / "test" / folder_name(kind, size.written, content, reading=reading)
    if not (folder / _ABOUT).exists():
        test = images.open()
        _tell(test.notes, note)
        about = {"source": source, "annotated": reading.annotated}
        _keep(folder, {"test": test}, size, reading.resize, lambda _: about, progress)
    return _open(folder, "test")[1][0]


def _tell(texts: Sequence[str], note: Note | None) -> None:
    for text in texts:
        if note is not None:
            note(text)


def _found_late(*parts: Images) -> tuple[str, ...]:
    """Return the notes on what was only found when images were divided."""
    return tuple(dict.fromkeys(text for images in parts for text in images.notes))


def _shared(folder: Path) -> tuple[str, ...]:
    """Say that validation images are among those that networks learn from, where many are."""
    about, (_, held) = _open(folder, "train", "validation")
    shared = about.get("shared", 0)  # of before it was not counted
    if shared < max(1, _SHARED * len(held)):
        return ()
    return (
        f"{shared} of {len(held)} validation images are training images, too, to the last pixel, "
        "so that validation is easier than new images are: remove doubles, let groups.csv say "
        "what belongs together, or name other images (--validation PATH)",
    )


def _bytes(splits: Mapping[str, Images], size: Size) -> int:
    """Return how much decoded images take, three bytes a pixel, and their masks or boxes."""
    kept = [drawn for images in splits.values() if (drawn := images.drawn(size)) is not None]
    annotations = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in kept)
    return 3 * size.pixels * sum(map(len, splits.values())) + annotations


def _check_memory(source: str, splits: Mapping[str, Images], size: Size) -> None:
    wanted, free = _bytes(splits, size), available_memory()
    if free is not None and wanted > free * _MEMORY_SHARE:
        raise SpecError(
            f"data {source!r}: {sum(map(len, splits.values()))} images of {size} take "
            f"{wanted / 2**30:.1f} GiB and {free / 2**30:.1f} are free; train on smaller ones "
            "(--set proxy.resolution=...), or map them from disk (cached_data, open_data)"
        )


def _split(images: Images, size: Size, resize: Resize) -> Split:
    pixels = np.empty((len(images), size.height, size.width, 3), dtype=np.uint8)
    kept = images.drawn(size)
    held = images.annotations if kept is None else np.empty(kept[0], dtype=kept[1])
    done = 0
    for block, drawn in decode_ahead(images, size, resize):
        pixels[done : done + len(block)] = block
        if held is not None and drawn is not None:
            held[done : done + len(block)] = drawn
        done += len(block)
    return Split(
        torch.from_numpy(pixels),
        torch.from_numpy(images.labels),
        None if held is None else torch.from_numpy(held),
    )


def _keep(
    folder: Path,
    splits: Mapping[str, Images],
    size: Size,
    resize: Resize,
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
            _check_disk(folder.parent, splits, size)
            building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            try:
                _write(building, splits, size, resize, progress)
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


def _check_disk(place: Path, splits: Mapping[str, Images], size: Size) -> None:
    wanted, free = _bytes(splits, size), shutil.disk_usage(place).free
    if wanted > free:
        raise StorageError(
            f"{sum(map(len, splits.values()))} images of {size} take {wanted / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} are free in {place}; free some space there, point XDG_CACHE_HOME "
            "to another disk, or train on smaller ones (--set proxy.resolution=...)"
        )


def _write(
    building: Path,
    splits: Mapping[str, Images],
    size: Size,
    resize: Resize,
    progress: Progress | None,
) -> None:
    """Write NAME_images.npy, NAME_labels.npy, and NAME_annotations.npy where there are any.

    They are on the disk afterwards.
    """
    # Block by block: a map of the file would end the process on a full disk.
    done, total = 0, sum(len(images) for images in splits.values())
    for name, images in splits.items():
        np.save(building / f"{name}_labels.npy", images.labels)
        noted = building / f"{name}_annotations.npy"
        if images.annotations is not None:
            np.save(noted, images.annotations)
        shape, kept = (len(images), size.height, size.width, 3), images.drawn(size)
        with ExitStack() as files:
            file = files.enter_context(_begun(building / f"{name}_images.npy", shape))
            held = None if kept is None else files.enter_context(_begun(noted, *kept))
            for block, drawn in decode_ahead(images, size, resize):
                file.write(block.data)
                if held is not None and drawn is not None:
                    held.write(drawn.data)
                done += len(block)
                if progress is not None:
                    progress(done, total)


@contextmanager
def _begun(path: Path, shape: tuple[int, ...], kind: str = "|u1") -> Iterator[BinaryIO]:
    """Open a file for numbers of this shape; it is on the disk afterwards.

    kind: as numpy writes a type: bytes, unless it says.
    """
    with path.open("wb") as file:
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file
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
                _map(noted, size)
                if (noted := folder / f"{name}_annotations.npy").exists()
                else None,
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
