"""Folders of identities: train/<identity>/*, val/ and test/ of others, and Market-1501."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import NoTestPart, SpecError
from nas.data.content import content_digest, stamps_digest
from nas.data.formats import open_image
from nas.data.groups import Groups
from nas.data.identities import (
    NOBODY,
    UNKNOWN_CAMERA,
    judged,
    numbered_behind,
    taught,
    with_cameras,
)
from nas.data.images import Held, Images, ImageSource, Numbered, Parts
from nas.data.listing import Listing, list_below, list_classes, list_images, local_path, readable
from nas.data.reading import Reading, Rules

__all__ = [
    "identity_folder",
    "identity_folder_test",
    "identity_validation",
    "is_asked",
    "market1501",
    "market1501_test",
]

_QUERY, _GALLERY = "query", "gallery"
_NEEDED = "needed: train/<identity>/<images>, and val/ and test/ of other identities if you like"
_CAMERA = re.compile(r"(-?\d+)_c(\d+)")
_MARKET = ("bounding_box_train", "query", "bounding_box_test")
_JUNK, _DISTRACTOR = "-1", "0000"


def identity_folder(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return train/<identity>/*, and val/<identity>/* of others when there is one.

    Raises SpecError when the folder is not as it must be.
    """
    root, source = _root(argument), f"folder:{argument}"
    train = _plain(root / "train", reading.rules)
    held = _part(root / "val", reading.rules) if (root / "val").is_dir() else None
    if held is not None:
        _check_others(held, train, root / "val", root / "train")

    def read() -> Parts:
        names, images = train.names, train.images()
        if held is None:
            return Parts(names, images)
        names, images = taught(images, names, source)
        return Parts(names, images, numbered_behind(held.judged(source), len(names)))

    parts = [train] if held is None else [train, held]
    pictures = _source([listing for part in parts for listing in part.listings], read)
    if Groups.beside(root) is None:
        return pictures
    unread = f"groups beside {readable(root)} are not read: no identity is cut apart"
    return replace(pictures, notes=(*pictures.notes, unread))


def identity_folder_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return test/<identity>/*, of other identities than train/, or query/ and gallery/.

    Raises SpecError when there is none.
    """
    root = _root(argument)
    top = root / "test" if (root / "test").is_dir() else root
    if top == root and not is_asked(root):
        raise NoTestPart(
            f"data folder {readable(root)}: it has no test part; needed: test/<identity>/<images>"
        )
    test = _part(top, reading.rules)
    _check_others(test, _plain(root / "train", reading.rules), top, root / "train")
    return _source(test.listings, lambda: numbered_behind(test.judged(f"folder:{argument}"), 0))


def identity_validation(argument: str, reading: Reading) -> ImageSource[Numbered]:
    """Return <identity>/* of a folder, or query/ and gallery/ in it, for validation.

    Raises SpecError when there is no such folder, or it has no identities.
    """
    root = local_path(argument)
    if not root.is_dir():
        raise SpecError(
            f"validation {str(argument)!r}: no such folder; allowed: a share between 0 and 1, or "
            "the path of a folder with <identity>/<images>"
        )
    held = _part(root, reading.rules)

    def numbered(parts: Parts) -> Images:
        _check_apart(held.asked, set(parts.classes), root, "the training images")
        return numbered_behind(held.judged(str(argument)), len(parts.classes))

    return _source(held.listings, lambda: numbered)


def market1501(argument: str, _reading: Reading) -> ImageSource[Parts]:
    """Return the identities of bounding_box_train, from which those to validate on are cut.

    Raises SpecError when the folder is not as it must be.
    """
    root = _market(argument)
    listing = _market_listing(root / _MARKET[0])
    part = _Part((listing,), (None,))
    return _source((listing,), lambda: Parts(part.names, part.images()))


def market1501_test(argument: str, _reading: Reading) -> ImageSource[Images]:
    """Return query and bounding_box_test: distractors are nobody, junk is left out.

    Raises SpecError when the folder is not as it must be.
    """
    root = _market(argument)
    part = _Part(tuple(_market_listing(root / name) for name in _MARKET[1:]), (1, 0), _DISTRACTOR)
    return _source(part.listings, lambda: numbered_behind(part.images(), 0))


class _Part:
    """Pictures of identities, which are the classes of listings.

    queries: of each listing 1 for queries, 0 for the gallery; None: that is not said.
    nobody: the class of pictures that no query asks for.
    """

    def __init__(
        self,
        listings: Sequence[Listing],
        queries: Sequence[int | None],
        nobody: str | None = None,
    ) -> None:
        self.listings = tuple(listings)
        self._queries = tuple(queries)
        self._files = [file for listing in listings for file in listing.files]
        self.names = tuple(sorted({name for name, _ in self._files} - {nobody}))

    @property
    def asked(self) -> set[str]:
        """Their names."""
        return set(self.names)

    def images(self) -> Images:
        """Return the images with their cameras, and whether they are queries."""
        number = {name: place for place, name in enumerate(self.names)}
        paths = [path for _, path in self._files]
        images = Images(
            np.asarray([number.get(name, NOBODY) for name, _ in self._files], dtype=np.int64),
            lambda row: open_image(paths[row]),
            lambda row: f"image {readable(paths[row])}",
        )
        queries = [
            query or 0
            for listing, query in zip(self.listings, self._queries, strict=True)
            for _ in listing.files
        ]
        return with_cameras(images, _cameras(paths), np.asarray(queries, dtype=np.int64))

    def judged(self, source: str) -> Images:
        """Return the images with queries: those of folders that say so, else chosen ones."""
        return judged(self.images(), source) if None in self._queries else self.images()


def _cameras(paths: Sequence[str]) -> NDArray[np.int64]:
    """Return the camera of each picture, where all names say it as Market-1501 does."""
    matches = [_CAMERA.match(Path(path).name) for path in paths]
    cameras = [int(match[2]) for match in matches if match is not None]
    if len(cameras) < len(paths):
        cameras = [UNKNOWN_CAMERA] * len(paths)
    return np.asarray(cameras, dtype=np.int64)


def _plain(top: Path, rules: Rules) -> _Part:
    names = tuple(list_classes(top)) if top.is_dir() else ()
    if not names:
        fault = "it has no folders of identities" if top.is_dir() else "no such folder"
        raise SpecError(f"data folder {readable(top)}: {fault}; {_NEEDED}")
    return _Part((list_images(top, names, rules=rules),), (None,))


def _part(top: Path, rules: Rules) -> _Part:
    if not is_asked(top):
        return _plain(top, rules)
    query, gallery = _plain(top / _QUERY, rules), _plain(top / _GALLERY, rules)
    return _Part((*query.listings, *gallery.listings), (1, 0))


def is_asked(top: Path) -> bool:
    """Return whether a folder says which pictures ask and which are asked."""
    return (top / _QUERY).is_dir() and (top / _GALLERY).is_dir()


def _check_others(part: _Part, train: _Part, one: Path, other: Path) -> None:
    _check_apart(part.asked, train.asked, one, readable(other))


def _check_apart(held: set[str], train: set[str], one: Path, other: str) -> None:
    if held & train:
        raise SpecError(
            f"data folder {readable(one)}: identity {min(held & train)!r} is in {other}, too; a "
            "network is judged by identities that it has not seen; name them otherwise where they "
            "are others"
        )


def _root(argument: str) -> Path:
    root = local_path(argument)
    if not root.is_dir():
        raise SpecError(f"data folder {readable(root)}: no such folder; {_NEEDED}")
    return root


def _market(argument: str) -> Path:
    """Return the folder; also the one that holds Market-1501 as it is unpacked."""
    root = local_path(argument)
    for top in (root, root / "Market-1501-v15.09.15"):
        if all((top / name).is_dir() for name in _MARKET):
            return top
    missing = next(name for name in _MARKET if not (root / name).is_dir())
    raise SpecError(
        f"data folder {readable(root)}: it has no {missing}; needed: {', '.join(_MARKET)}, as "
        "Market-1501 is unpacked"
    )


def _market_listing(top: Path) -> Listing:
    """List the pictures in a folder by the identities in their names; junk is left out."""
    listed = list_below(top)
    files: list[tuple[str, str]] = []
    for _, path in listed.files:
        match = _CAMERA.match(Path(path).name)
        if match is None:
            raise SpecError(
                f"image {readable(path)} is not named as in Market-1501: IDENTITY_cCAMERA..., such "
                "as 0002_c1s1_000451_03.jpg; rename or remove it"
            )
        if match[1] == _JUNK:
            listed.left_out["of junk (-1)"] += 1
        else:
            files.append((match[1], path))
    if not files:
        raise SpecError(f"data folder {readable(top)}: it holds no image")
    return replace(listed, files=tuple(files))


def _source(listings: Sequence[Listing], read: Callable[[], Held]) -> ImageSource[Held]:
    notes = tuple(listing.note for listing in listings if listing.note)
    return ImageSource(stamps_digest(listings), read, lambda: content_digest(listings), notes)
