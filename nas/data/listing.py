"""Which images lie in a folder, what is left out of it, and the texts beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import SpecError
from nas.base.files import decoded
from nas.data.formats import image_formats
from nas.data.reading import Rules

__all__ = [
    "Listing",
    "list_below",
    "list_classes",
    "list_files",
    "list_images",
    "local_path",
    "portable_path",
    "readable",
    "text_of",
]

_HIDDEN = "hidden"
_LOOSE = "beside the class folders"
_AGAIN = "linked again"

# Said by name, where what is read is listed.
_USUAL = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

# Of runs of before.
_EARLIER = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Listing:
    """The images of class folders in one folder, class by class.

    top: that the class folders are in.
    files: the class and the path of each image.
    left_out: kind -> how many files are no images.
    """

    top: Path
    files: tuple[tuple[str, str], ...]
    left_out: Counter[str]

    @classmethod
    def empty(cls, top: Path) -> Listing:
        """Return the listing of a folder that is not there."""
        return cls(top, (), Counter())

    @property
    def note(self) -> str | None:
        """The sentence that says what is left out; None where nothing is."""
        if not self.left_out:
            return None
        kinds = ", ".join(f"{number} {kind}" for kind, number in self.left_out.most_common())
        return (
            f"left out of {readable(self.top)}: {kinds}; read are all kinds of images that Pillow "
            "decodes here"
        )


def readable(name: str | os.PathLike[str]) -> str:
    """Return a name as UTF-8 says it, whatever the locale; other bytes are written as numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def portable_path(path: str | os.PathLike[str]) -> str:
    """Return a path as files keep it: in UTF-8, whatever the locale that it was read in."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def local_path(path: str) -> Path:
    """Return a path that was typed, or that a file keeps, as it is called in this locale.

    `~` is the home of whoever runs this; what names no user stays as it is.
    """
    path = os.path.expanduser(path)  # pathlib's raises for a user that there is not
    with suppress(UnicodeEncodeError):  # of a text that names no path at all
        kept = os.fsdecode(path.encode("utf-8", "surrogateescape"))
        if kept != path and os.path.lexists(kept):
            return Path(kept)
    return Path(path)


def text_of(path: Path) -> str:
    """Read a file of text. Raises SpecError where it is none."""
    try:
        return decoded(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise SpecError(f"{readable(path)} cannot be read ({reason}); mend or remove it") from None


def list_classes(top: Path) -> dict[str, str]:
    """Return the name of each class -> the path of its folder, in order; hidden ones are none.

    Raises SpecError for a folder that cannot be read.
    """
    folders = {readable(entry.name): entry.path for entry in _entries(top) if _is_folder(entry)}
    return {name: path for name, path in folders.items() if not name.startswith(".")}


def list_images(top: Path, classes: Collection[str], *, rules: Rules) -> Listing:
    """List the images of classes, which are the folders of `list_classes`.

    rules: see `Reading`.
    Raises SpecError for a class without any, and for a folder that cannot be read.
    """
    folders = list_classes(top)
    files: list[tuple[str, str]] = []
    left_out = Counter(
        _HIDDEN if entry.name.startswith(".") else _LOOSE
        for entry in _entries(top)
        if entry.name.startswith(".") or not _is_folder(entry)
    )
    for name in classes:
        others: Counter[str] = Counter()
        paths: list[str] = []
        if name in folders:
            paths = sorted(_images_below(folders[name], others, rules), key=os.fsencode)
        if not paths:
            raise SpecError(
                f"class folder {readable(top / name)} holds no image"
                + "".join(f" (it holds {number} {kind})" for kind, number in others.most_common(1))
                + f"; read are {_named(_suffixes(rules))}"
            )
        files += [(name, path) for path in paths]
        left_out += others
    return Listing(top, tuple(files), left_out)


def _named(suffixes: Collection[str]) -> str:
    """Name the usual kinds of images, and count the others."""
    usual = [suffix for suffix in _USUAL if suffix in suffixes]
    others = len(suffixes) - len(usual)
    return ", ".join(usual) + (f" and {others} other kinds that Pillow decodes" if others else "")


def list_below(top: Path) -> Listing:
    """List all images in a folder and the folders in it, of no class.

    Raises SpecError for a folder that cannot be read.
    """
    left_out: Counter[str] = Counter()
    paths = sorted(_images_below(str(top), left_out, 2), key=os.fsencode)
    return Listing(top, tuple(("", path) for path in paths), left_out)


def list_files(top: Path, suffix: str) -> Listing:
    """List the files of a suffix in a folder and the folders in it, as images are listed.

    Raises SpecError for a folder that cannot be read.
    """
    paths = _files_below(str(top), (suffix,), Counter(), 2)
    return Listing(top, tuple(("", path) for path in sorted(paths, key=os.fsencode)), Counter())


def _suffixes(rules: Rules) -> Collection[str]:
    return sorted(_EARLIER) if rules == 1 else image_formats()


def _images_below(top: str, left_out: Counter[str], rules: Rules) -> Iterator[str]:
    """Yield images in a class folder and the folders in it; hidden ones are left out."""
    yield from _files_below(top, _suffixes(rules), left_out, rules)


def _files_below(
    top: str, suffixes: Collection[str], left_out: Counter[str], rules: Rules
) -> Iterator[str]:
    """Yield files of some suffixes in a folder and the folders in it; hidden ones are left out.

    Links are followed, but to what is read already, or lies above: that would never end.
    """
    # A folder itself comes before links to it, whose names say less.
    seen: set[tuple[int, int]] = set()
    folders, links = ([], [top]) if os.path.islink(top) else ([top], [])
    while folders or links:
        above = set() if folders else _above(links[-1])
        place = (folders or links).pop()
        if _identity(place) in seen | above:
            left_out[_AGAIN] += 1
            continue
        seen.add(_identity(place))
        for entry in _entries(place):
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                left_out[_HIDDEN] += 1
            elif _is_folder(entry):
                if not entry.is_symlink():
                    folders.append(entry.path)
                elif rules > 1:
                    links.append(entry.path)
            elif suffix in suffixes:
                yield _checked(entry)
            else:
                left_out[readable(suffix) or "without a suffix"] += 1


def _entries(place: str | Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, in an order that no locale changes."""
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable(place, error) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _above(link: str) -> set[tuple[int, int]]:
    """Return the folders above a link, as they are named and as they lie."""
    parent = Path(link).absolute().parent
    lies = parent.resolve()
    return {_identity(place) for place in (parent, *parent.parents, *lies.parents)}


def _identity(place: str | Path) -> tuple[int, int]:
    try:
        status = os.stat(place)
    except OSError as error:
        raise _unreadable(place, error) from None
    return status.st_dev, status.st_ino


def _unreadable(place: str | Path, error: OSError) -> SpecError:
    return SpecError(f"data folder {readable(place)} cannot be read ({error.strerror})")


def _checked(entry: os.DirEntry[str]) -> str:
    """Return the path of an image. Raises SpecError for a link to nowhere, a pipe and the like."""
    try:
        reason = None if entry.is_file() else "it is no file"
        if reason:
            os.stat(entry.path)  # which says why a link leads nowhere
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise SpecError(
            f"image {readable(entry.path)} cannot be read ({reason}); mend or remove it"
        )
    return entry.path
