"""Image files and their masks, of one part of a source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.content import content_digest, stamps_digest
from nas.data.formats import open_image
from nas.data.groups import Groups
from nas.data.images import Images, ImageSource, Masks, Parts
from nas.data.listing import Listing, readable
from nas.data.masks import Numbering, class_numbers, found_numbers, numbers_found
from nas.data.reading import Merging

__all__ = ["MaskedPart", "file_masks", "part_source", "parts_source"]


@dataclass(frozen=True)
class MaskedPart:
    """Image files of a part, and their masks row by row.

    masks: with the numbers of files.
    found: which numbers occur in each mask, (N, 256).
    files: all that the part is read from, by which it is known.
    notes: see `ImageSource`.
    """

    listing: Listing
    masks: Masks
    found: Callable[[], NDArray[np.bool_]]
    files: tuple[Listing, ...]
    notes: tuple[str, ...] = ()

    def images(self, numbering: Numbering, found: NDArray[np.bool_] | None = None) -> Images:
        """Return the images with masks of the classes that are told apart. Raises SpecError."""
        paths = [path for _, path in self.listing.files]
        return numbering.images(
            lambda row: open_image(paths[row]),
            lambda row: f"image {readable(paths[row])}",
            self.masks,
            self.found() if found is None else found,
        )


def file_masks(images: Listing, masks: Listing, notes: tuple[str, ...] = ()) -> MaskedPart:
    """Return images whose masks are image files, row by row."""
    paths = [path for _, path in masks.files]

    def read(row: int) -> NDArray[np.uint8]:
        with open_image(paths[row]) as image:
            return class_numbers(image)

    held = Masks(read, lambda row: f"mask {readable(paths[row])}")
    return MaskedPart(images, held, lambda: found_numbers(held, len(paths)), (images, masks), notes)


def parts_source(
    source: str,
    train: MaskedPart,
    held: MaskedPart | None,
    names: Mapping[int, str] | None,
    merging: Merging,
    root: Path | None = None,
) -> ImageSource[Parts]:
    """Return a source of images with masks.

    source: in errors.
    names: number in files -> class; None: the numbers that occur in training stand for themselves.
    merging: see `Reading.classes`.
    root: that may hold a file of groups, which count where no validation part is.
    """
    groups = Groups.beside(root) if root is not None and held is None else None

    def read() -> Parts:
        occurring = train.found()
        numbers = numbers_found(occurring) if names is None else names
        numbering = Numbering.of(numbers, merging, source)
        images = train.images(numbering, occurring)
        if groups is not None:
            images = groups.numbered(images)
        validation = None if held is None else held.images(numbering)
        return Parts(numbering.classes, images, validation, numbers=numbers)

    files = [listing for part in (train, held) if part for listing in part.files]
    notes = tuple(note for part in (train, held) if part for note in part.notes)
    digest = _with_names(files, names)
    return ImageSource(
        stamps_digest(files), read, digest if groups is None else groups.digest(digest), notes
    )


def part_source(
    source: str,
    part: MaskedPart,
    train: MaskedPart,
    names: Mapping[int, str] | None,
    merging: Merging,
) -> ImageSource[Images]:
    """Return one part by itself, its classes numbered as those of the training part."""

    def read() -> Images:
        numbers = numbers_found(train.found()) if names is None else names
        return part.images(Numbering.of(numbers, merging, source))

    # Without names, the masks of the training part say which numbers are classes.
    files = [*part.files, *(train.files if names is None else ())]
    return ImageSource(stamps_digest(files), read, _with_names(files, names), part.notes)


def _with_names(files: list[Listing], names: Mapping[int, str] | None) -> Callable[[], str]:
    """Return a digest of files that changes with the names of classes, too."""
    if names is None:
        return lambda: content_digest(files)
    own = repr(sorted(names.items()))
    return lambda: hashlib.sha256(f"{content_digest(files)}\n{own}".encode()).hexdigest()
