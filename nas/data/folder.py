"""Folders of images: train/<class>/*, and ImageNet as it is unpacked."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nas.base.errors import NoTestPart, SpecError
from nas.data.content import content_digest, stamps_digest
from nas.data.formats import open_image
from nas.data.groups import Groups
from nas.data.images import Held, Images, ImageSource, Numbered, Parts
from nas.data.listing import Listing, list_classes, list_images, local_path, readable
from nas.data.reading import Rules

__all__ = ["folder", "folder_test", "imagenet", "imagenet_test", "validation_folder"]

_NAMED = 4  # folders, in an error
_OTHERWISE_NAMED = ("valid", "validation", "dev", "eval")


def folder(argument: str, rules: Rules) -> ImageSource[Parts]:
    """Return train/<class>/*, and val/<class>/* when there is one.

    Raises SpecError when the folder is not as it must be.
    """
    root = _root(argument)
    classes = _classes(root)
    train = list_images(root / "train", classes, rules=rules)
    held = _list_part(root / "val", classes, rules) if (root / "val").is_dir() else None

    groups = Groups.beside(root) if held is None else None

    def read() -> Parts:
        validation = None if held is None else _images(classes, held)
        images = _images(classes, train)
        return Parts(classes, images if groups is None else groups.numbered(images), validation)

    listings = [train] if held is None else [train, held]
    # The second is empty for runs of before, whose digest has a place for it.
    stamps = stamps_digest([train, held or Listing.empty(root / "val")])
    notes = _notes(*listings) + (_unread(root) if held is None else ())
    content = partial(content_digest, listings)
    return ImageSource(stamps, read, content if groups is None else groups.digest(content), notes)


def folder_test(argument: str, rules: Rules) -> ImageSource[Images]:
    """Return test/<class>/*, its classes numbered as those of train/.

    Raises SpecError when there is none.
    """
    return _test_part(argument, "test", rules)


def imagenet(argument: str, rules: Rules) -> ImageSource[Parts]:
    """Return train/<class>/* alone; what ImageNet calls val is what papers report, its test part.

    Raises SpecError when the folder is not as it must be.
    """
    root = _root(argument)
    _check_unpacked(root, "train")
    classes = _classes(root)
    train = list_images(root / "train", classes, rules=rules)
    return _source(train, lambda: Parts(classes, _images(classes, train)))


def imagenet_test(argument: str, rules: Rules) -> ImageSource[Images]:
    """Return val/<class>/*. Raises SpecError when there is none."""
    _check_unpacked(_root(argument), "val")
    return _test_part(argument, "val", rules)


def validation_folder(argument: str, rules: Rules) -> ImageSource[Numbered]:
    """Return <class>/* of a folder, for validation beside whichever training images.

    Raises SpecError when there is no such folder, or it has no classes.
    """
    root = local_path(argument)
    if not root.is_dir():
        raise SpecError(
            f"validation {str(argument)!r}: no such folder; allowed: a share between 0 and 1, or "
            "the path of a folder with <class>/<images>"
        )
    listing = list_images(root, tuple(list_classes(root)), rules=rules)
    if not listing.files:
        raise SpecError(
            f"folder {readable(root)}: it has no class folders; needed: "
            f"{readable(root)}/<class>/<images>"
        )

    def number(parts: Parts) -> Images:
        classes, there = parts.classes, {name for name, _ in listing.files}
        for one, other, where in (
            (there, set(classes), "the training images"),
            (set(classes), there, readable(root)),
        ):
            if one - other:
                raise SpecError(
                    f"folder {readable(root)}: class {min(one - other)!r} is not in "
                    f"{where}{_alike(min(one - other), other)}; both need the same classes"
                )
        return _images(classes, listing)

    return _source(listing, lambda: number)


def _test_part(argument: str, name: str, rules: Rules) -> ImageSource[Images]:
    root = _root(argument)
    classes = _classes(root)
    if not (root / name).is_dir():
        raise NoTestPart(
            f"data folder {readable(root)}: it has no test part; needed: "
            f"{readable(root)}/{name}/<class>/<images>"
        )
    listing = _list_part(root / name, classes, rules)
    return _source(listing, lambda: _images(classes, listing))


def _source(listing: Listing, read: Callable[[], Held]) -> ImageSource[Held]:
    return ImageSource(
        stamps_digest([listing]), read, lambda: content_digest([listing]), _notes(listing)
    )


def _root(argument: str) -> Path:
    root = local_path(argument)
    if not root.is_dir():
        raise SpecError(
            f"data folder {readable(root)}: no such folder; needed: "
            f"{readable(root)}/train/<class>/<images>"
        )
    return root


def _check_unpacked(root: Path, part: str) -> None:
    archive = root / f"ILSVRC2012_img_{part}.tar"
    if archive.exists() and not (root / part).is_dir():
        raise SpecError(
            f"data folder {root}: {archive.name} is not unpacked; once: python -c 'import "
            f'torchvision; torchvision.datasets.ImageNet("{root}", "{part}")\''
        )


def _classes(root: Path) -> tuple[str, ...]:
    train = root / "train"
    if not train.is_dir():
        raise SpecError(
            f"data folder {readable(root)}: it has no folder train/{_there(root)}; needed: "
            f"{readable(root)}/train/<class>/<images>"
        )
    classes = tuple(list_classes(train))
    if len(classes) < 2:
        raise SpecError(
            f"data folder {readable(train)}: {len(classes)} class folder{'s' * (not classes)}; "
            "at least 2 are needed, one for each class"
        )
    for name in classes:
        if alike := _alike(name, set(classes) - {name}):
            raise SpecError(f"data folder {readable(train)}: class {name!r} is there twice{alike}")
    return classes


def _there(root: Path) -> str:
    """Say which folders there are where one is missing."""
    names = sorted(readable(Path(each.name)) for each in root.iterdir() if each.is_dir())
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f", but {', '.join(f'{name}/' for name in names[:_NAMED])}{more}" if names else ""


def _alike(name: str, others: Collection[str]) -> str:
    """Say that a name is among others but for how Unicode composes its letters, as macOS does."""
    composed = unicodedata.normalize("NFC", name)
    same = any(unicodedata.normalize("NFC", other) == composed for other in others)
    return ", but for accents that are signs of their own there; rename one" if same else ""


def _list_part(part: Path, classes: Sequence[str], rules: Rules) -> Listing:
    """List the images of a part beside train/. Raises SpecError for other classes."""
    unknown = set(list_classes(part)) - set(classes)
    if unknown:
        raise SpecError(
            f"data folder {readable(part)}: class {min(unknown)!r} is not in "
            f"{readable(part.parent / 'train')}{_alike(min(unknown), classes)}; both need the "
            "same classes"
        )
    return list_images(part, classes, rules=rules)


def _notes(*listings: Listing) -> tuple[str, ...]:
    return tuple(listing.note for listing in listings if listing.note)


def _unread(root: Path) -> tuple[str, ...]:
    """Say that a folder is not read which looks as if it were meant for validation."""
    return tuple(
        f"{readable(root / name)} is not read; --validation {readable(root / name)} validates on it"
        for name in _OTHERWISE_NAMED
        if (root / name).is_dir()
    )


def _images(classes: Sequence[str], listing: Listing) -> Images:
    number = {name: label for label, name in enumerate(classes)}
    return Images(
        np.asarray([number[name] for name, _ in listing.files], dtype=np.int64),
        lambda row: open_image(listing.files[row][1]),
        lambda row: f"image {readable(listing.files[row][1])}",
    )
