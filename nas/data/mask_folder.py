"""Folders of images with masks: train/images beside train/masks, or images, masks and lists."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.base.errors import NoTestPart, SpecError
from nas.data.content import content_digest, stamps_digest
from nas.data.images import Images, ImageSource, Numbered, Parts
from nas.data.listing import Listing, list_below, local_path, readable, text_of
from nas.data.masked_part import MaskedPart, file_masks, part_source, parts_source
from nas.data.masks import Numbering
from nas.data.reading import Reading

__all__ = [
    "MASKS_NEEDED",
    "by_stem",
    "check_lists_apart",
    "class_names",
    "has_classes",
    "has_masks",
    "image_pairs",
    "listed_names",
    "mask_folder",
    "mask_folder_test",
    "mask_validation",
    "paired",
    "paired_parts",
]

_OTHERS = ("val", "test")
MASKS_NEEDED = (
    "needed: train/images and train/masks (val/ and test/ likewise), or images, masks and, if you "
    "like, lists of names train.txt, val.txt, test.txt"
)


def has_masks(root: Path) -> bool:
    """Return whether a folder is laid out as one of images with masks."""
    return any(_is_paired(top) for top in (root, root / "train"))


def _is_paired(top: Path) -> bool:
    return (top / "images").is_dir() and (top / "masks").is_dir()


def has_classes(root: Path) -> bool:
    """Return whether a folder may be one of class folders."""
    return (root / "train").is_dir() and not _is_paired(root / "train")


def mask_folder(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the training images of a folder with their masks, and those for validation.

    Raises SpecError when the folder is not as it must be.
    """
    root = _root(argument)
    train = _part(root, "train")
    if train is None:
        raise SpecError(
            f"data folder {readable(root)}: it has no images with masks; {MASKS_NEEDED}"
        )
    held, names = _part(root, "val"), class_names(root)
    return parts_source(f"folder:{argument}", train, held, names, reading.classes, root)


def mask_folder_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the test images of a folder with their masks. Raises SpecError when it has none."""
    root = _root(argument)
    test, train = _part(root, "test"), _part(root, "train")
    if test is None or train is None:
        raise NoTestPart(
            f"data folder {readable(root)}: it has no test part; needed: test/images and "
            "test/masks, or test.txt beside images and masks"
        )
    return part_source(f"folder:{argument}", test, train, class_names(root), reading.classes)


def mask_validation(argument: str, reading: Reading) -> ImageSource[Numbered]:
    """Return images/* and masks/* of a folder, for validation beside whichever training images.

    Raises SpecError when there is no such folder.
    """
    root = local_path(argument)
    if not _is_paired(root):
        raise SpecError(
            f"validation {str(argument)!r}: no folder with images/ and masks/; allowed: a share "
            "between 0 and 1, or the path of such a folder"
        )
    part = paired(root / "images", root / "masks", None)

    def read() -> Numbered:
        def numbered(parts: Parts) -> Images:
            assert parts.numbers is not None
            return part.images(Numbering.of(parts.numbers, reading.classes, str(argument)))

        return numbered

    return ImageSource(
        stamps_digest(part.files), read, lambda: content_digest(part.files), part.notes
    )


def _root(argument: str) -> Path:
    root = local_path(argument)
    if not root.is_dir():
        raise SpecError(f"data folder {readable(root)}: no such folder; {MASKS_NEEDED}")
    return root


def _part(root: Path, part: str) -> MaskedPart | None:
    """Return the images of a part; None where the folder has no such part."""
    pairs = paired_parts(root, part, "masks")
    return None if pairs is None else file_masks(*pairs)


def paired_parts(root: Path, part: str, drawn: str) -> Pairs | None:
    """Return the images of a part and what is drawn of them; None where there is no such part.

    drawn: the name of its folder beside `images`.
    """
    top = root / part
    if (top / "images").is_dir() or (top / drawn).is_dir():
        return image_pairs(top / "images", top / drawn, None)
    if not ((root / "images").is_dir() and (root / drawn).is_dir()):
        return None
    named = {other: listed_names(root / f"{other}.txt") for other in ("train", *_OTHERS)}
    check_lists_apart(root, named)
    if part == "train" and named["train"] is None:
        taken = {name for other in _OTHERS for name in named[other] or ()}
        return image_pairs(root / "images", root / drawn, None, without=taken)
    names = named[part]
    return None if names is None else image_pairs(root / "images", root / drawn, names)


def check_lists_apart(root: Path, named: Mapping[str, Sequence[str] | None]) -> None:
    """Raises SpecError for an image in two lists: a network would be judged on what it learnt."""
    seen: dict[str, str] = {}
    for part, names in named.items():
        for name in names or ():
            if seen.setdefault(name, part) != part:
                raise SpecError(
                    f"{readable(root)}: {seen[name]}.txt and {part}.txt both name {name!r}; an "
                    "image is in one part alone"
                )


def listed_names(path: Path) -> list[str] | None:
    """Return the names in a list, one a line, without suffixes; None where there is no list.

    Raises SpecError for a list that cannot be read, or is empty.
    """
    if not path.is_file():
        return None
    lines = [line.strip() for line in text_of(path).splitlines()]
    names = [_stem(line.replace("\\", "/").removeprefix("images/")) for line in lines if line]
    if not names:
        raise SpecError(f"{readable(path)} names no image; needed: one name a line")
    return list(dict.fromkeys(names))


def _stem(name: str) -> str:
    """Return a name without the suffix of an image: dots may be part of a name."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif"} else name


def paired(images: Path, masks: Path, names: Sequence[str] | None) -> MaskedPart:
    """Return images with masks, as `image_pairs` finds them."""
    return file_masks(*image_pairs(images, masks, names))


Pairs = tuple[Listing, Listing, tuple[str, ...]]
"""Images, the masks of each, and what is to be said of both."""


def image_pairs(
    images: Path, masks: Path, names: Sequence[str] | None, without: set[str] | None = None
) -> Pairs:
    """Return images and their masks, which are called alike but for the suffix.

    names: those that are taken, in this order; None: all but those `without`.
    Raises SpecError for a folder that is not there, and an image without a mask.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise SpecError(f"data folder {readable(folder)}: no such folder; {MASKS_NEEDED}")
    listed, drawn = list_below(images), list_below(masks)
    image_of, mask_of = by_stem(images, listed), by_stem(masks, drawn)
    if names is None:
        names = [name for name in image_of if name not in (without or ())]
    for name in names:
        if name not in image_of:
            raise SpecError(
                f"there is no image {name!r} in {readable(images)}, which a list names; add it, or "
                "take the line out"
            )
        if name not in mask_of:
            raise SpecError(
                f"image {readable(image_of[name])} has no mask; needed: "
                f"{readable(masks)}/{name}.png, or leave the image out"
            )
    if not names:
        raise SpecError(f"data folder {readable(images)}: it holds no image; {MASKS_NEEDED}")
    return (
        Listing(images, tuple(("", image_of[name]) for name in names), listed.left_out),
        Listing(masks, tuple(("", mask_of[name]) for name in names), drawn.left_out),
        tuple(listing.note for listing in (listed, drawn) if listing.note),
    )


def by_stem(top: Path, listing: Listing) -> dict[str, str]:
    """Return the path of each image by its name in a folder, without the suffix: `a/0`."""
    paths: dict[str, str] = {}
    for _, path in listing.files:
        name = readable(os.path.splitext(path)[0].removeprefix(f"{top}{os.sep}"))
        if name in paths:
            raise SpecError(
                f"{readable(path)} and {readable(paths[name])} are called alike; one image and one "
                "mask have a name"
            )
        paths[name] = path
    return paths


def class_names(root: Path) -> dict[int, str] | None:
    """Return the classes that classes.txt (a line each) or classes.json name; None without either.

    classes.json: a list of names, or an object that holds number: name, or name: number.
    Raises SpecError for a file that cannot be read.
    """
    lines, table = root / "classes.txt", root / "classes.json"
    if lines.is_file():
        listed = [line.strip() for line in text_of(lines).splitlines()]
        while listed and not listed[-1]:
            listed.pop()
        return _checked(dict(enumerate(listed)), lines)
    if not table.is_file():
        return None
    try:
        given: Any = json.loads(text_of(table))
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{readable(table)} is no JSON ({error}); mend or remove it") from None
    return _checked(_numbered(given), table)


def _numbered(given: Any) -> dict[Any, Any]:
    if isinstance(given, list):
        return dict(enumerate(given))
    if not isinstance(given, dict):
        return {}
    if all(str(key).isascii() and str(key).isdigit() for key in given):
        return {int(key): name for key, name in given.items()}
    if all(isinstance(number, int) for number in given.values()):
        return {number: name for name, number in given.items()}
    return {}


def _checked(names: dict[Any, Any], path: Path) -> dict[int, str]:
    """Raises SpecError for what are no names of classes."""
    named = all(isinstance(name, str) and name for name in names.values())
    if not names or not named or not all(0 <= number <= 254 for number in names):
        raise SpecError(
            f"{readable(path)}: these are no names of classes; needed: one a line, the first that "
            "of number 0 (classes.txt), or a list, or numbers from 0 to 254 with names "
            "(classes.json)"
        )
    if len(set(names.values())) < len(names):
        twice = next(name for name in names.values() if list(names.values()).count(name) > 1)
        raise SpecError(f"{readable(path)}: class {twice!r} is there twice; merge by classes:")
    return names
