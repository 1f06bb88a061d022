"""Groups of images that are not cut apart: frames of a video, pictures of a person.

`groups.csv` beside the images names an image and its group in each line, behind a comma;
`groups.txt` behind a space.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.base.errors import SpecError
from nas.data.images import Images
from nas.data.listing import readable, text_of

__all__ = ["Groups"]

_FILES = ("groups.csv", "groups.txt")


class Groups:
    """The groups that a file beside images names."""

    def __init__(self, path: Path, of: Mapping[str, str]) -> None:
        self._path, self._of = path, of

    @classmethod
    def beside(cls, root: Path) -> Groups | None:
        """Return the groups of a folder's images; None where no file names any.

        Raises SpecError for a file that cannot be read.
        """
        path = next((root / name for name in _FILES if (root / name).is_file()), None)
        return None if path is None else cls(path, _read(path))

    def numbered(self, images: Images) -> Images:
        """Return images of files with their groups. Raises SpecError for one without."""
        root = readable(self._path.parent)
        names: list[str] = []
        for row in range(len(images)):
            path = images.called(row).removeprefix("image ")
            called = _ways_to_call(path.removeprefix(f"{root}/"))
            group = next((self._of[name] for name in called if name in self._of), None)
            if group is None:
                between = "," if self._path.suffix == ".csv" else " "
                raise SpecError(
                    f"image {path} has no group in {readable(self._path)}; needed: a line "
                    f"{called[0]}{between}GROUP"
                )
            names.append(group)
        return replace(images, groups=np.unique(names, return_inverse=True)[1].astype(np.int64))

    def digest(self, images: Callable[[], str]) -> Callable[[], str]:
        """Return a digest of images that changes with their groups, too."""
        own = repr(sorted(self._of.items()))
        return lambda: hashlib.sha256(f"{images()}\n{own}".encode()).hexdigest()


def _ways_to_call(name: str) -> Sequence[str]:
    """Return an image's path from the folder on, that without its first folders, and its stem."""
    parts = name.split("/")
    paths = ["/".join(parts[start:]) for start in range(len(parts))]
    return [*paths, parts[-1].rpartition(".")[0] or parts[-1]]


def _read(path: Path) -> dict[str, str]:
    """Return the group of each image that a file names.

    Raises SpecError for a line of another form, and for an image in two groups.
    """
    groups: dict[str, str] = {}
    for number, row in _rows(path):
        if not row:
            continue
        if len(row) != 2:
            raise SpecError(
                f"{readable(path)}, line {number}: {len(row)} values; needed: an image and its "
                "group"
            )
        image, group = row[0].strip().replace("\\", "/"), row[1].strip()
        if groups.setdefault(image, group) != group:
            raise SpecError(
                f"{readable(path)}, line {number}: {image} is in {groups[image]!r} and {group!r}; "
                "an image is in one group"
            )
    return groups


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the values of each line, behind its number; none of an empty one."""
    lines = text_of(path).splitlines()
    if path.suffix != ".csv":
        yield from enumerate((line.rsplit(None, 1) for line in lines), 1)
        return
    reader = csv.reader(lines)
    try:
        for row in reader:
            yield reader.line_num, row if any(map(str.strip, row)) else []
    except csv.Error as error:
        raise SpecError(f"{readable(path)}, line {reader.line_num}: {error}; mend it") from None
