"""The part of a source that a search is given: how it is divided, and what names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.dataset import split_rows
from nas.data.folder import Numbered, validation_folder
from nas.data.images import Images, ImageSource, Parts
from nas.data.kinds import source_to_search
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

    @classmethod
    def of(cls, source: str, validation: float | str, seed: int, rules: Rules) -> Searched:
        """Raises SpecError for data that cannot be read."""
        held = None
        if isinstance(validation, str):
            held = validation_folder(validation, rules)
            _, _, place = source.partition(":")
            if local_path(validation).resolve() == (local_path(place) / "train").resolve():
                raise SpecError(
                    f"validation {validation!r}: these are the training images; name a folder of "
                    "others, or a share of them"
                )
        return cls(source, source_to_search(source, rules), held, validation, seed)

    def tell(self, note: Callable[[str], None] | None) -> None:
        """Tell the notes on what is read."""
        notes = self.images.notes
        if self.held is not None:
            alone = f"validated on {self.validation} alone"
            notes = (*notes, alone, *self.held.notes)
        for text in notes:
            if note is not None:
                note(text)

    def name(self, size: Size, reading: Reading) -> str:
        """Return the name of the folder of decoded images."""
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
        if self.held is not None:
            return parts, parts.train, self.held.open()(parts.classes)
        if parts.validation is not None:
            return parts, parts.train, parts.validation
        assert isinstance(self.validation, float | int)
        return parts, *_divide(parts, self.source, self.validation, self.seed)


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
    return hashlib.sha256(json.dumps([_VERSION, *parts, *resize]).encode()).hexdigest()[:16]


def _divide(parts: Parts, source: str, validation: float, seed: int) -> tuple[Images, Images]:
    """Return training and validation images; the second are cut from the first.

    Raises SpecError for a class that is too small to be in both.
    """
    labels = parts.train.labels
    counts = np.bincount(labels)
    single = np.flatnonzero(counts == 1)
    if len(single):
        others = f" (and {len(single) - 1} more)" if len(single) > 1 else ""
        raise SpecError(
            f"data {source!r}: class {parts.classes[single[0]]!r}{others} has 1 image; every class "
            "needs at least 2 images, one of them for validation; add one, or name a folder of "
            "others for validation (--validation PATH)"
        )
    kept, held = split_rows(labels, 1 - validation, seed)
    return parts.train.only(kept), parts.train.only(held)
