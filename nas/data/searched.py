"""The part of a source that a search is given: how it is divided, and what names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.dataset import split_groups, split_rows
from nas.data.identities import cut_identities, taught
from nas.data.images import Images, ImageSource, Numbered, Parts
from nas.data.kinds import source_to_search, source_to_validate
from nas.data.listing import local_path
from nas.data.reading import Reading, Rules

__all__ = ["Searched", "folder_name", "identity"]

_VERSION = 2  # of how images are decoded: a new one leaves the old caches alone


@dataclass(frozen=True)
class Searched:
    """The part of a source that a search is given, not read yet, and how it is divided.

    held: the validation images where they were named; None: the source's own, or cut off.
    """

    source: str
    images: ImageSource[Parts]
    held: ImageSource[Numbered] | None
    validation: float | str
    seed: int
    reading: Reading

    @classmethod
    def of(cls, source: str, validation: float | str, seed: int, reading: Reading) -> Searched:
        """Raises SpecError for data that cannot be read."""
        _check_merging(reading)
        held = None
        if isinstance(validation, str):
            held = source_to_validate(validation, source, reading)
            _, _, place = source.partition(":")
            if local_path(validation).resolve() == (local_path(place) / "train").resolve():
                raise SpecError(
                    f"validation {validation!r}: these are the training images; name a folder of "
                    "others, or a share of them"
                )
        return cls(source, source_to_search(source, reading), held, validation, seed, reading)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should hear of, in sentences, before images are divided."""
        if self.held is None:
            return self.images.notes
        return (*self.images.notes, f"validated on {self.validation} alone", *self.held.notes)

    def name(self, size: Size) -> str:
        """Return the name of the folder of decoded images."""
        reading = self.reading
        held = self.validation if self.held is None else identity("", self.held, reading.rules)
        images = identity(self.source, self.images, reading.rules)
        # What is normalised otherwise gives other figures.
        own = () if reading.normalisation is None else (reading.normalisation,)
        parts = *images[:-1], size.written, held, self.seed, images[-1], *own
        return folder_name(*parts, reading=reading)

    def same_as(self, other: Searched) -> bool:
        """Return whether another finds the same files."""
        pairs = ((self.images, other.images), (self.held, other.held))
        return all(_same_files(one, another) for one, another in pairs)

    def divide(self) -> tuple[Parts, Images, Images]:
        """Return the parts, the training and the validation images.

        Raises SpecError for a class that is too small to be in both.
        """
        parts = self.images.open()
        if self.reading.annotated == "identities" and parts.validation is None:
            parts = self._identities(parts)
        train, held = self._train_and_held(parts)
        if self.reading.annotated == "boxes":
            _check_objects(parts, train, held, self.source)
        return parts, train, held

    def _train_and_held(self, parts: Parts) -> tuple[Images, Images]:
        if self.held is not None:
            return parts.train, self.held.open()(parts)
        if parts.validation is not None:
            return parts.train, parts.validation
        assert isinstance(self.validation, float | int)
        return _divide(parts, self.source, self.validation, self.seed, self.reading)

    def _identities(self, parts: Parts) -> Parts:
        """Return parts whose identities are those to train on; others are cut off where needed."""
        if isinstance(self.validation, str):
            names, train = taught(parts.train, parts.classes, self.source)
            return replace(parts, classes=names, train=train)
        names, train, held = cut_identities(
            parts.train, parts.classes, self.validation, self.seed, self.source
        )
        return replace(parts, classes=names, train=train, validation=held)


def _same_files(one: ImageSource[Any] | None, other: ImageSource[Any] | None) -> bool:
    if one is None or other is None or one.digest is None or other.digest is None:
        return True  # known by content alone, by whichever rules
    return one.digest() == other.digest()


def identity(source: str, images: ImageSource[Any], rules: Rules) -> tuple[str, str]:
    """Return what tells images from others: where files are known by content, not their path."""
    if images.digest is None or rules == 1:
        return source, images.content
    return source.partition(":")[0], images.digest()


def folder_name(*parts: object, reading: Reading) -> str:
    """Return the name of a folder of decoded images, which changes with any of the parts."""
    # What is read as it always was keeps the name that it always had.
    resize = () if reading.resize == "crop" else (reading.resize,)
    annotated = () if reading.annotated == "labels" else (reading.annotated, reading.classes)
    named = [_VERSION, *parts, *resize, *annotated]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


def _check_merging(reading: Reading) -> None:
    if reading.classes and reading.annotated not in {"masks", "boxes"}:
        raise SpecError(
            f"classes: merges classes of masks or boxes, and the images are read with "
            f"{reading.annotated}; leave it out, or use --task segmentation or detection"
        )


def _divide(
    parts: Parts, source: str, validation: float, seed: int, reading: Reading
) -> tuple[Images, Images]:
    """Return training and validation images; the second are cut from the first.

    Raises SpecError for a class that is too small to be in both.
    """
    images, several = parts.train, reading.annotated in {"masks", "boxes"}
    if images.groups is not None:
        kept, held = split_groups(images.labels, images.groups, 1 - validation, seed)
        if not several:
            _check_taught(images.labels, kept, parts.classes, source)
    else:
        labels = _pooled(images.labels, reading, source) if several else images.labels
        _check_several(labels, parts.classes, source)
        kept, held = split_rows(labels, 1 - validation, seed)
    return images.only(kept), images.only(held)


def _check_objects(parts: Parts, train: Images, held: Images, source: str) -> None:
    """Raises SpecError for a part whose images all are without objects, which tells nothing."""
    for part, images in (("training", train), ("validation", held)):
        if not (images.labels < len(parts.classes)).any():
            raise SpecError(
                f"data {source!r}: none of the {len(images)} {part} images has an object "
                f"(classes: {', '.join(parts.classes[:6])}); at least one is needed to tell "
                "anything by; see the files of boxes, and classes: in the runner"
            )


def _pooled(labels: NDArray[np.int64], reading: Reading, source: str) -> NDArray[np.int64]:
    """Return labels of masks or boxes to cut by, those of a single image taken as one.

    Such a class is in one part alone; the others in both.
    Raises SpecError for a single image.
    """
    count = len(labels)
    if count < 2:
        raise SpecError(
            f"data {source!r}: {count} image with {reading.annotated}; at least 2 are needed, "
            "one of them for validation; add one, or name a folder of others (--validation PATH)"
        )
    counts = np.bincount(labels)
    single = counts[labels] == 1
    if single.sum() == 1:  # it joins the largest
        return np.where(single, counts.argmax(), labels)
    return np.where(single, labels[single].min(initial=len(counts)), labels)


def _check_several(labels: NDArray[np.int64], classes: Sequence[str], source: str) -> None:
    """Raises SpecError for a class of one image."""
    single = np.flatnonzero(np.bincount(labels) == 1)
    if len(single):
        others = f" (and {len(single) - 1} more)" if len(single) > 1 else ""
        raise SpecError(
            f"data {source!r}: class {classes[single[0]]!r}{others} has 1 image; every class "
            "needs at least 2 images, one of them for validation; add one, or name a folder of "
            "others for validation (--validation PATH)"
        )


def _check_taught(
    labels: NDArray[np.int64], kept: NDArray[np.int64], classes: Sequence[str], source: str
) -> None:
    """Raises SpecError for a class all of whose images were cut off."""
    gone = np.setdiff1d(labels, labels[kept])
    if len(gone):
        raise SpecError(
            f"data {source!r}: class {classes[gone[0]]!r} has too few groups to be in training, "
            "too; add one, or name a folder of others for validation (--validation PATH)"
        )
